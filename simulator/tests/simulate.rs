//! Simulations small enough to check by hand, and what holds of every simulation.

use berth::report::{About, render};
use berth::simulate::{Case, RunResult, SimulateError, run, run_all, table};
use berth::trace::{NodeRow, PodRow, PodTimes, Trace};
use berth_engine::{Config, Policy};

fn node(name: &str, gpus: u32) -> NodeRow {
    NodeRow { name: name.to_owned(), cpu_milli: 64_000, memory_mib: 65_536, gpus, model: "T4".to_owned() }
}

/// A pod that asks for one core and this many GPUs.
fn pod(name: &str, num_gpu: u32, arrival_s: u64, runtime_s: u64) -> PodRow {
    PodRow {
        name: name.to_owned(),
        cpu_milli: 1000,
        memory_mib: 1024,
        num_gpu,
        gpu_milli: if num_gpu == 0 { 0 } else { 1000 },
        gpu_spec: Vec::new(),
        priority: 0,
        qos: String::new(),
        times: Some(PodTimes { arrival_s, runtime_s }),
    }
}

fn urgent(pod: PodRow) -> PodRow {
    PodRow { priority: 10, ..pod }
}

fn share(milli: u32, pod: PodRow) -> PodRow {
    PodRow { num_gpu: 1, gpu_milli: milli, ..pod }
}

fn simulate(nodes: Vec<NodeRow>, pods: Vec<PodRow>) -> RunResult {
    run(&Trace { nodes, pods }, Config::default(), &|_| {}).expect("a valid trace")
}

#[test]
fn pods_wait_as_the_rules_say() {
    for (case, pods, waits) in [
        ("alone", vec![pod("a", 2, 0, 9)], vec![Some(0)]),
        (
            "an end makes room for an arrival at the same instant",
            vec![pod("a", 2, 0, 10), pod("b", 2, 10, 5)],
            vec![Some(0), Some(0)],
        ),
        (
            "priority first, then arrival",
            vec![pod("a", 2, 0, 100), pod("b", 2, 10, 10), pod("c", 2, 20, 10), urgent(pod("d", 2, 30, 50))],
            vec![Some(0), Some(140), Some(140), Some(70)],
        ),
        (
            "file order among arrivals of one second",
            vec![pod("b", 2, 5, 10), pod("a", 2, 5, 10), pod("z", 2, 0, 10)],
            vec![Some(5), Some(15), Some(0)],
        ),
        (
            "a blocked shape holds up nobody else",
            vec![pod("a", 1, 0, 100), pod("big", 2, 10, 10), pod("big2", 2, 11, 10), pod("small", 1, 20, 30)],
            vec![Some(0), Some(90), Some(99), Some(0)],
        ),
        (
            "tried again as soon as room appears, in part",
            vec![pod("a", 1, 0, 50), pod("b", 1, 0, 80), pod("c", 1, 10, 5), pod("d", 2, 10, 5)],
            vec![Some(0), Some(0), Some(40), Some(70)],
        ),
        (
            "shares live together on one GPU",
            vec![share(400, pod("a", 1, 0, 50)), share(600, pod("b", 1, 0, 50)), pod("c", 1, 0, 50)],
            vec![Some(0), Some(0), Some(0)],
        ),
        ("what cannot fit stays", vec![pod("a", 3, 0, 10), pod("b", 2, 1, 10)], vec![None, Some(0)]),
        ("no run time at all", vec![pod("a", 2, 0, 0), pod("b", 2, 0, 0)], vec![Some(0), Some(0)]),
    ] {
        assert_eq!(simulate(vec![node("n", 2)], pods).pod_waits_s, waits, "{case}");
    }
}

#[test]
fn the_books_agree_with_a_calculation_by_hand() {
    // Two GPUs. a holds both from 0 to 100; b (one GPU) waits from 20 to 100 and runs to 140; the window is 0..100.
    let nodes = vec![node("n", 2)];
    let result =
        simulate(nodes, vec![pod("a", 2, 0, 100), pod("b", 1, 20, 40), pod("c", 0, 100, 1), pod("d", 3, 0, 5)]);
    assert_eq!((result.pods, result.started, result.never_started), (4, 3, 1));
    assert_eq!((result.window_s, result.makespan_s), (100.0, 140));
    assert_eq!((result.allocated_percent, result.stranded_percent), (100.0, 0.0));
    assert_eq!(result.waiting_gpus_mean, 0.8); // one GPU for 80 of 100 seconds; d, which cannot fit, does not count
    assert_eq!((result.wait.mean_s, result.wait.p50_s, result.wait.max_s), (26.667, 0, 80));
    assert_eq!(result.lacked.len(), 1);
    assert_eq!((result.lacked[0].what.as_str(), result.lacked[0].pod_hours), ("whole free GPUs", 0.022));
    assert_eq!(result.lacked[0].example, "0/1 nodes fit: 1 short of whole free GPUs (nearest by 1)");
    assert_eq!((result.never[0].pods, result.never[0].example_pod.as_str()), (1, "d"));
    assert!(result.never[0].why.ends_with("no node could take it even when empty"), "{}", result.never[0].why);
}

#[test]
fn idle_gpus_are_stranded_only_as_far_as_pods_wait_for_them() {
    // One of two GPUs idles from 0 to 100, and from 20 on a pod waits that needs both: 80 of 200 GPU-seconds.
    let pods = vec![pod("a", 1, 0, 100), pod("b", 2, 20, 10), pod("end", 0, 100, 1)];
    let result = simulate(vec![node("n", 2)], pods);
    assert_eq!(result.pod_waits_s[1], Some(80));
    assert_eq!((result.allocated_percent, result.stranded_percent), (50.0, 40.0));
}

#[test]
fn a_list_without_times_is_refused_and_pointed_to_pack() {
    let untimed = PodRow { times: None, ..pod("b", 1, 0, 0) };
    let trace = Trace { nodes: vec![node("n", 1)], pods: vec![pod("a", 1, 0, 1), untimed] };
    let error = run(&trace, Config::default(), &|_| {}).expect_err("no times");
    assert!(matches!(&error, SimulateError::NoTimes { without: 1, pods: 2, pod } if pod == "b"));
    assert!(error.to_string().contains("`berth pack`"), "{error}");
}

#[test]
fn nonsense_is_an_error_not_a_panic() {
    let nodes = vec![node("n", 1)];
    for (case, nodes, pods) in [
        ("no pods", nodes.clone(), vec![]),
        ("times beyond the clock", nodes.clone(), vec![pod("a", 1, u64::MAX, u64::MAX)]),
        ("run times beyond the clock", nodes.clone(), vec![pod("a", 1, 0, u64::MAX / 2), pod("b", 1, 0, u64::MAX / 2)]),
        ("a share of nothing", nodes, vec![share(0, pod("a", 1, 0, 1))]),
        ("a node of a thousand GPUs", vec![node("n", 1000)], vec![pod("a", 1, 0, 1)]),
    ] {
        assert!(run(&Trace { nodes, pods }, Config::default(), &|_| {}).is_err(), "{case}");
    }
}

/// A busy little cluster, from a multiplicative generator so that the test needs no random source.
fn busy() -> Trace {
    let mut state = 12_345_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let pods = (0..600).map(|index| {
        let gpus = [0, 1, 1, 1, 2, 4, 8][next(7) as usize];
        let plain = pod(&format!("p{index}"), gpus, next(20_000), 60 + next(4_000));
        if gpus == 1 && next(2) == 0 { share(100 * (1 + next(9)) as u32, plain) } else { plain }
    });
    let pods = pods.collect();
    Trace { nodes: (0..6).map(|index| node(&format!("n{index}"), 8)).collect(), pods }
}

#[test]
fn threads_change_no_byte() {
    let trace = busy();
    let seeds = [1, 2];
    let cases: Vec<_> = Policy::ALL
        .into_iter()
        .flat_map(|policy| seeds.map(|seed| Config { policy, seed, ..Config::default() }))
        .map(|config| Case { trace: &trace, config })
        .collect();
    let on_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| run_all(&cases, &|_| {})).expect("valid")
    };
    let (once, again) = (on_threads(1), on_threads(4));
    assert_eq!(table::json(&once).expect("json"), table::json(&again).expect("json"));
    assert_eq!(table::csv(&once).lines().count(), 1 + cases.len());
    assert!(once.iter().any(|run| run.wait.max_s > 0), "the cluster must be busy for this to mean anything");
}

/// A report on `trace` under two policies.
fn report(trace: &Trace, source: &str, command: &str) -> String {
    let config = |policy| Config { policy, ..Config::default() };
    let cases = [Policy::Berth, Policy::Random].map(|policy| Case { trace, config: config(policy) });
    let runs = run_all(&cases, &|_| {}).expect("valid");
    let about = About { source: source.to_owned(), command: command.to_owned(), trace };
    render(&about, &runs).expect("the template fits")
}

/// Tags in order: every one that is opened is closed, in the right order. Our own template writes void elements and
/// self-closing SVG elements only where listed.
fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let style = page.find("<style>").expect("a style sheet")..page.find("</style>").expect("its end");
    for (at, _) in page.match_indices('<').filter(|(at, _)| !(style.start < *at && *at < style.end)) {
        let tag = &page[at + 1..at + page[at..].find('>').expect("`<` is always a tag")];
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).expect("a name");
        assert!(!tag.contains('<'), "a tag inside a tag: {tag}");
        match tag {
            _ if tag.starts_with('!') || tag.ends_with('/') || name == "meta" => {}
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "closed at {at}"),
            _ => open.push(name),
        }
    }
    assert_eq!(open, Vec::<&str>::new(), "left open");
}

#[test]
fn the_report_is_one_well_formed_page_that_needs_nothing_else() {
    let page = report(&busy(), "made up", "berth simulate --seeds 1..2");
    assert_well_formed(&page);
    for forbidden in ["<script", "http:", "https:", "src=", "@import", "url(", "<link", "javascript:", "NaN", "inf"] {
        let found = page.match_indices(forbidden).map(|(at, _)| &page[at..page.floor_char_boundary(at + 60)]);
        let found: Vec<&str> = found.filter(|text| !text.starts_with("info")).collect();
        assert_eq!(found, Vec::<&str>::new(), "{forbidden}");
    }
    assert_eq!(page.matches("<svg").count(), 5);
    assert_eq!(page.matches("<title id=").count(), page.matches("<desc id=").count());
    assert!(page.contains("berth simulate --seeds 1..2"));
}

#[test]
fn reports_are_the_same_every_time() {
    assert_eq!(report(&busy(), "a", "b"), report(&busy(), "a", "b"));
}

#[test]
fn a_hostile_trace_cannot_write_html() {
    let evil = "<script>alert('x')</script>\"&{{ 7 * 7 }}";
    let nodes = vec![NodeRow { model: evil.to_owned(), ..node(evil, 1) }];
    let trace = Trace { nodes, pods: vec![pod(evil, 2, 0, 10), pod(evil, 1, 1, 10), pod("late", 1, 5, 10)] };
    let page = report(&trace, evil, evil);
    assert_well_formed(&page);
    assert!(!page.contains("<script"), "unescaped");
    assert!(page.contains("{{ 7 * 7 }}"), "a template inside a name is text");
    assert!(page.contains("&lt;script&gt;"), "shown as it is");
}

#[test]
fn odd_traces_make_reports_too() {
    for (case, nodes, pods) in [
        ("one pod", vec![node("n", 1)], vec![pod("a", 1, 0, 10)]),
        ("nothing takes any time", vec![node("n", 1)], vec![pod("a", 1, 0, 0)]),
        ("no GPUs", vec![node("n", 0)], vec![pod("a", 0, 0, 10), pod("b", 0, 9, 10)]),
        ("no nodes", vec![], vec![pod("a", 1, 0, 10)]),
        ("nothing fits", vec![node("n", 1)], vec![pod("a", 2, 0, 10), pod("b", 4, 100, 10)]),
        ("centuries", vec![node("n", 1)], vec![pod("a", 1, 0, 10_000_000_000), pod("b", 1, 10_000_000_000, 10)]),
    ] {
        let page = report(&Trace { nodes, pods }, case, case);
        assert_well_formed(&page);
        assert!(!page.contains("NaN"), "{case}");
    }
}
