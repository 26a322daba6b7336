//! Many hosts behind one server that sheds load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plush_controller::transport::{Deadlines, Limits, Pacer, Preference, Tries, connect};

use tokio::sync::watch;

use super::sshd::{Sshd, bootstrap, route};

#[tokio::test]
async fn f33_two_hundred_hosts_behind_one_default_sshd_all_connect() {
    let sshd = Sshd::start("MaxStartups 10:30:100\nLogLevel INFO\n");
    let ssh = Arc::new(sshd.ssh("", Preference::Automatic));
    // The first one puts the agent there.
    drop(connect(&ssh, &route("web"), &bootstrap(), &Deadlines::default(), None).await.unwrap());
    let pacer = Pacer::start(Limits::default(), 42);
    let began = Instant::now();
    let hosts: Vec<_> = (0..200)
        .map(|n| {
            let (ssh, pacer) = (Arc::clone(&ssh), pacer.clone());
            tokio::spawn(async move {
                let (route, touched) = (route(&format!("host{n}")), watch::channel(false).0);
                pacer
                    .connect(
                        &ssh,
                        &route,
                        &bootstrap(),
                        (&Deadlines::default(), Tries::Patient),
                        &touched,
                    )
                    .await
            })
        })
        .collect();
    let mut links = Vec::new();
    for host in hosts {
        links.push(host.await.unwrap().unwrap());
    }
    println!("200 hosts behind one sshd: {:?}", began.elapsed());
    // Of a machine that does nothing else a minute is demanded.
    eprintln!("200 hosts behind one server connected within {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(180));
}
