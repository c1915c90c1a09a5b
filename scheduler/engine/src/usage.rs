//! temporary
#[derive(Debug, Clone, Default)]
pub struct Usage;
