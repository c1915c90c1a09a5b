use super::*;

#[test]
fn nothing_of_an_object_need_be_there_and_null_is_nothing() {
    let bare = serde_json::json!({ "metadata": { "name": "p", "namespace": "n", "labels": null, "resourceVersion": "7" },
        "spec": { "containers": null, "affinity": null, "tolerations": null }, "status": null });
    let object = read(Kind::Pod, bare);
    assert_eq!((object.key.path().as_str(), object.version), ("n/p", Some(7)));
    let Body::Pod(pod) = object.body else { panic!("{:?}", object.body) };
    assert_eq!((pod.spec, pod.status), (PodSpec::default(), PodStatus::default()));
    assert!(matches!(read(Kind::Node, serde_json::json!({})).body, Body::Node(_)));
}

#[test]
fn an_object_of_another_form_keeps_its_name_and_says_what_is_wrong() {
    let odd = serde_json::json!({ "metadata": { "name": "g", "namespace": "n", "uid": "u" }, "spec": { "minMember": "two" } });
    let object = read(Kind::PodGroup(GroupConvention::Coscheduling), odd);
    assert_eq!(object.uid, "u");
    let Body::Unreadable(problem) = object.body else { panic!("{:?}", object.body) };
    let told = problem.to_string();
    assert!(told.starts_with("PodGroup.scheduling.x-k8s.io n/g (not used)") && told.contains("two"), "{told}");
}
