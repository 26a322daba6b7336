//! Figure 3 of the paper: fifty hosts of a directory file, software from a web server, `demo.exe 300`.

use crate::product::Said;
use crate::stage::Stage;
use std::collections::BTreeMap;

/// As in the paper but for the server's address, the directory file instead of PlanetLab, and what comes home.
const FIGURE_3: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<plush>
  <project name="demo_proj">
    <software name="demo_soft" type="tar">
      <package name="demo.tar" type="web">
        <path>http://SERVER:8000/demo.tar</path>
      </package>
    </software>
    <configuration name="demo_conf">
      <cluster name="demo_group">
        <software name="demo_soft"/>
        <rspec>
          <num_hosts>50</num_hosts>
        </rspec>
        <execution>
          <process name="demo">
            <path>./demo.exe</path>
            <cmdline>
              <arg>300</arg>
            </cmdline>
          </process>
        </execution>
        <output>demo.result</output>
      </cluster>
      <resources>
        <resource type="ssh" file="DIRECTORY"/>
      </resources>
    </configuration>
    <application name="demo_app">
      <execution>
        <configuration name="demo_conf"/>
      </execution>
    </application>
  </project>
</plush>
"#;

const DEMO: &str = "#!/bin/sh\necho \"demo $1\"\necho \"$1 on $(hostname)\" > demo.result\n";

type Files = BTreeMap<String, Vec<u8>>;

/// Outputs and results, by path below the run directory.
fn brought_home(said: &Said) -> Files {
    let mut found = Files::new();
    for top in ["output", "results"] {
        for host in std::fs::read_dir(said.directory().join(top)).unwrap().flatten() {
            for file in std::fs::read_dir(host.path()).unwrap().flatten() {
                let name = file.path().strip_prefix(said.directory()).unwrap().to_owned();
                if top == "output" && name.extension().is_some_and(|e| e == "times") {
                    continue;
                }
                let bytes = std::fs::read(file.path()).unwrap();
                found.insert(name.to_str().unwrap().to_owned(), bytes);
            }
        }
    }
    found
}

#[test]
fn figure_3_runs_on_fifty_hosts_from_xml_and_the_same_from_yaml() {
    let Some(mut stage) = Stage::with_hosts(50) else { return };
    let host = stage.lab.host(0);
    let packed = "mkdir /srv/demo && cd /srv/demo && cat > demo.exe && chmod 755 demo.exe && \
                  tar cf demo.tar demo.exe && rm demo.exe";
    stage.feed("h001", packed, DEMO.as_bytes());
    stage.lab.run_on("h001", "busybox httpd -p 8000 -h /srv/demo").unwrap();
    let xml = FIGURE_3
        .replace("SERVER", &host.address.to_string())
        .replace("DIRECTORY", stage.lab.directory_file_path().to_str().unwrap());
    stage.remember();
    stage.file("demo.xml", xml);

    let from_xml = stage.run("demo.xml", &[]).expect(0);
    stage.assert_nothing_left();
    let converted = stage.call(&["convert", "demo.xml", "--to", "yaml"]).expect(0);
    stage.file("demo.yaml", converted.out);
    let from_yaml = stage.run("demo.yaml", &[]).expect(0);
    stage.assert_nothing_left();

    let files = brought_home(&from_xml);
    // Standard output, standard error and one result of each.
    assert_eq!(files.len(), 150, "{:?}", files.keys());
    assert_eq!(files["output/plush@h007:22/demo.1.out"], b"demo 300\n");
    assert_eq!(files["results/plush@h050:22/demo.result"], b"300 on h050\n");
    assert_eq!(brought_home(&from_yaml), files);
    for said in [&from_xml, &from_yaml] {
        assert_eq!(said.document()["outcome"], "complete");
        eprintln!("figure 3 on 50 hosts took {:?}", said.took);
    }
}
