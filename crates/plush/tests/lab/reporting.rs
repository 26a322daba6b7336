//! What a run on real hosts did, as its barriers and its report tell it.

use crate::stage::Stage;

/// h003 comes later, and h004 is never reached, which is known only when the others are through.
const SLOW: &str = r#"
project: slow
resources: [{type: ssh, hosts: "h[001-004]"}]
clusters:
  c:
    num_hosts: {wanted: 4, min: 2}
    ready: {entry: {percent: 60}}
    execution:
      - process: arrive
        run: if [ ${host} = h003 ]; then sleep 1.5; fi
      - barrier: meet
        entry: {count: 2}
      - process: work
        run: echo done
"#;

#[test]
fn the_barriers_and_the_report_of_real_hosts_name_who_was_late_and_who_was_lost() {
    let Some(stage) = Stage::with_hosts(4) else { return };
    stage.lab.power_off("h004").unwrap();
    stage.file("slow.yaml", SLOW);
    stage.run("slow.yaml", &["--name", "slow"]).expect(0);
    let document = stage.call(&["barriers", "slow", "--json"]).expect(0).document();
    let barriers = document["barriers"].as_array().unwrap();
    let meet = barriers.iter().find(|barrier| barrier["name"] == "meet").unwrap();
    assert_eq!(meet["opened"]["policy"], "count", "{meet}");
    assert_eq!(meet["missing"].as_array().unwrap(), &["h003", "h004"], "{meet}");
    let ready = barriers.iter().find(|barrier| barrier["name"] == "c/ready").unwrap();
    let stand = |host: &str| {
        let members = ready["members"].as_array().unwrap();
        members.iter().find(|member| member["host"] == host).unwrap()["stand"].clone()
    };
    assert_eq!((stand("h001"), stand("h004")), ("through".into(), "failed".into()));
    let table = stage.call(&["barriers", "slow"]).expect(0);
    assert!(table.out.contains("failed h004 (1)"), "{}", table.out);

    stage.call(&["report", "slow", "--out", "slow.html", "--png", "slow.png"]).expect(0);
    let page = std::fs::read_to_string(stage.home.path().join("slow.html")).unwrap();
    for words in ["Linux x86_64 (3)", "Failures by cause", "connecting → failed", "h003"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(std::fs::read(stage.home.path().join("slow.png")).unwrap().starts_with(b"\x89PNG"));
    ["h001", "h002", "h003"].iter().for_each(|host| stage.assert_nothing_left_on(host));
}
