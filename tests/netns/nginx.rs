//! The tutorial's load balancers with real nginx: a client reads www.chaoge.com through the VIP from two web hosts in turn, and goes on
//! reading when the nginx of the master dies, because `track_script` moves the VIP.

use std::{fs, time::Duration};

use hafleet_tests::lab::{AgentConfiguration, Host, Lab, Process, start_agent, wait_for};

const VIP: &str = "192.168.178.3";
/// An election, or a start of nginx on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// nginx.conf of the tutorial, with what an nginx beside others on one machine needs: files of its own.
fn nginx(host: &Host, http: &str) -> Process {
    let directory = host.directory().join("nginx");
    fs::create_dir_all(&directory).unwrap();
    let at = directory.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
        .collect();
    let conf = format!(
        "user root;\nworker_processes 1;\ndaemon off;\npid {at}/nginx.pid;\nerror_log {at}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\naccess_log off;\n{temporary}default_type text/plain;\n{http}\n}}\n"
    );
    let file = host.write("nginx.conf", &conf).unwrap();
    let mut command = host.command("/usr/sbin/nginx");
    command.arg("-c").arg(file).arg("-p").arg(&directory);
    let process = host.spawn("nginx", &mut command).unwrap();
    wait_for("nginx to listen", PATIENCE, || {
        Ok(host.run("curl", &["-s", "-o", "/dev/null", "http://127.0.0.1/"]).ok().map(drop))
    })
    .unwrap();
    process
}

fn web(host: &Host, page: &str) -> Process {
    nginx(
        host,
        &format!(
            "server {{ listen 80; server_name www.chaoge.com; location / {{ return 200 \"{page}\\n\"; }} }}"
        ),
    )
}

fn balancer(host: &Host) -> Process {
    nginx(
        host,
        "upstream www_pools {\nserver 192.168.178.121;\nserver 192.168.178.122;\n}\n\
         server {\nlisten 80;\nserver_name www.chaoge.com;\n\
         location / {\nproxy_pass http://www_pools;\nproxy_set_header Host $host;\n}\n}",
    )
}

/// keepalived's file with the usual check of nginx: the tutorial's instance and a `vrrp_script`.
fn keepalived_conf(host: &Host, state: &str, priority: u8) -> String {
    let script = host.directory().join("check_nginx.sh");
    let pid = host.directory().join("nginx/nginx.pid");
    fs::write(&script, format!("#!/bin/sh\nkill -0 \"$(cat {})\" 2>/dev/null\n", pid.display())).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&script, executable).unwrap();
    format!(
        "global_defs {{\n    router_id {}\n    script_user root\n    enable_script_security\n}}\n\
         vrrp_script chk_nginx {{\n    script \"{}\"\n    interval 1\n    weight -60\n    fall 1\n    rise 1\n}}\n\
         vrrp_instance VI_1 {{\n    state {state}\n    interface ens33\n    virtual_router_id 51\n    priority {priority}\n\
         advert_int 1\n    authentication {{\n        auth_type PASS\n        auth_pass 1111\n    }}\n\
         virtual_ipaddress {{\n        192.168.178.3/24 dev ens33 label ens33:3\n    }}\n\
         track_script {{\n        chk_nginx\n    }}\n}}\n",
        host.name(),
        script.display(),
    )
}

/// What a reader of the site saw: one line a request, `SECONDS CODE PAGE`.
fn reader(client: &Host) -> Process {
    let request = format!(
        "while :; do page=$(curl -s -m 0.2 --resolve www.chaoge.com:80:{VIP} http://www.chaoge.com/); \
         echo \"$(date +%s.%N) $? $page\"; sleep 0.01; done"
    );
    let mut command = client.command("sh");
    command.args(["-c", &request]);
    client.spawn("reader", &mut command).unwrap()
}

fn pages(log: &str) -> Vec<(f64, String)> {
    let line = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let (at, _code, page) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
        (!page.is_empty()).then(|| (at, page.to_owned()))
    };
    log.lines().filter_map(line).collect()
}

#[test]
fn a_site_is_read_through_the_vip_and_its_outage_is_short_when_nginx_dies() {
    let mut lab = Lab::new().unwrap();
    let lb01 = lab.host("lb01", "192.168.178.130/24").unwrap();
    let lb02 = lab.host("lb02", "192.168.178.131/24").unwrap();
    let web01 = lab.host("web01", "192.168.178.121/24").unwrap();
    let web02 = lab.host("web02", "192.168.178.122/24").unwrap();
    let client = lab.client("client", "192.168.178.9/24").unwrap();
    let _webs = [web(&web01, "web01"), web(&web02, "web02")];
    let (mut nginx01, _nginx02) = (balancer(&lb01), balancer(&lb02));
    let start = |host, state, priority| {
        start_agent(host, AgentConfiguration::Keepalived(&keepalived_conf(host, state, priority)), &[])
            .unwrap()
    };
    let agent01 = start(&lb01, "MASTER", 150);
    wait_for("lb01 to hold the VIP", PATIENCE, || Ok(lb01.holds(VIP)?.then_some(()))).unwrap();
    let _agent02 = start(&lb02, "BACKUP", 100);
    let reader = reader(&client);
    wait_for("twenty pages", PATIENCE, || Ok((pages(&reader.log()).len() >= 20).then_some(()))).unwrap();
    let before = pages(&reader.log());
    for pair in before.windows(2) {
        assert_ne!(pair[0].1, pair[1].1, "the two web hosts answer in turn: {before:?}");
    }

    nginx01.terminate(Duration::from_secs(5)).unwrap();
    wait_for("lb02 to hold the VIP, and lb01 no more", PATIENCE, || {
        Ok((lb02.holds(VIP)? && !lb01.holds(VIP)?).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}; lb01:\n{}", agent01.log()));
    let count = pages(&reader.log()).len();
    wait_for("twenty pages more", PATIENCE, || Ok((pages(&reader.log()).len() >= count + 20).then_some(())))
        .unwrap();
    let all = pages(&reader.log());
    let outage = all.windows(2).map(|pair| pair[1].0 - pair[0].0).fold(0.0, f64::max);
    // At most one interval of the check until it fails, then the backup's Master_Down of 3.6 s, which began with the last advert of
    // the old priority; two seconds are this machine's.
    assert!(outage < 1.0 + 3.61 + 2.0, "{outage} s without a page");
    println!("nginx on lb01 was stopped: {outage:.3} s without a page, then lb02 served");

    // nginx is back: the VIP returns, and nobody is without a page for long.
    let _nginx01 = balancer(&lb01);
    wait_for("lb01 to hold the VIP again", PATIENCE, || {
        Ok((lb01.holds(VIP)? && !lb02.holds(VIP)?).then_some(()))
    })
    .unwrap();
    let back: Vec<(f64, String)> =
        pages(&reader.log()).into_iter().filter(|(at, _)| *at > all.last().unwrap().0).collect();
    let gap = back.windows(2).map(|pair| pair[1].0 - pair[0].0).fold(0.0, f64::max);
    assert!(gap < 1.0, "{gap} s without a page when the VIP returned");
}
