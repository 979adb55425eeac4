//! Tests of what both readers share, and the doors through which the readers' own tests come.

use std::{fs, path::Path, path::PathBuf, time::Duration};

use super::{
    Inputs, Language, Lease, LoadError, Loaded, Place, Severity, Style, check, load, load_text, nearest,
    render,
};

/// Reads a keepalived.conf that is called `k.conf`.
pub(super) fn read_keepalived(text: impl AsRef<[u8]>) -> Result<Loaded, LoadError> {
    load_text(Language::KeepalivedConf, Path::new("k.conf"), text.as_ref())
}

/// Reads an agent.toml that is called `a.toml`.
pub(super) fn read_native(text: impl AsRef<[u8]>) -> Result<Loaded, LoadError> {
    load_text(Language::AgentToml, Path::new("a.toml"), text.as_ref())
}

/// Every finding on one line, without help, and without the file's name.
pub(super) fn lines(read: &Result<Loaded, LoadError>) -> Vec<String> {
    let findings = match read {
        Ok(loaded) => &loaded.findings,
        Err(error) => &error.findings,
    };
    findings
        .iter()
        .map(|finding| {
            let Place { line, column, .. } = finding.place;
            format!("{line}:{column}: {}: {}", finding.severity, finding.message)
        })
        .collect()
}

/// Compares the findings of one text with those expected, line by line.
#[track_caller]
pub(super) fn expect(read: &Result<Loaded, LoadError>, text: &str, expected: &[&str]) {
    let found = lines(read);
    assert_eq!(found, expected, "\nin\n{text}\nthese were found:\n{}\n", found.join("\n"));
    let errors = found.iter().any(|line| line.contains(": error: "));
    assert_eq!(read.is_err(), errors, "an error must fail the whole reading, and only an error");
}

/// Every finding lies inside the text; returns what was wrong about one that does not.
pub(super) fn misplaced(read: &Result<Loaded, LoadError>, text: &[u8]) -> Option<String> {
    let findings = match read {
        Ok(loaded) => &loaded.findings,
        Err(error) => &error.findings,
    };
    let text = String::from_utf8_lossy(text);
    let all: Vec<&str> = text.split('\n').collect();
    findings.iter().find_map(|finding| {
        let Place { line, column, width, .. } = finding.place;
        if line == 0 {
            return None;
        }
        let characters = all.get(line - 1).map(|line| line.chars().count());
        let inside = characters.is_some_and(|length| column >= 1 && column - 1 + width <= length);
        (!inside).then(|| format!("{finding} (width {width}) lies outside"))
    })
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn a_lease_is_off_or_a_duration_in_its_range() {
    assert_eq!("off".parse(), Ok(Lease::Off));
    assert_eq!("3s".parse(), Ok(Lease::For(Duration::from_secs(3))));
    assert_eq!("1500ms".parse(), Ok(Lease::For(Duration::from_millis(1500))));
    for wrong in ["", "0s", "999ms", "2h", "3", "-3s", "never", "Off"] {
        let error = wrong.parse::<Lease>().expect_err(wrong);
        assert!(error.to_string().contains("expected a duration from 1s to 1h"), "{error}");
    }
    assert_eq!(Lease::default().to_string(), "3s");
    assert_eq!(Lease::Off.to_string(), "off");
}

#[test]
fn the_nearest_name_is_near() {
    let known = ["priority", "interface", "vrid", "lease"];
    assert_eq!(nearest("prioritty", known.into_iter()), Some("priority"));
    assert_eq!(nearest("INTERFACE", known.into_iter()), Some("interface"));
    assert_eq!(nearest("id", known.into_iter()), None);
    assert_eq!(nearest("load_balancer", known.into_iter()), None);
}

#[test]
fn two_files_make_one_configuration_and_their_instances_may_not_collide() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let native = directory.path().join("agent.toml");
    let keepalived = directory.path().join("keepalived.conf");
    let instance =
        "[[instance]]\nname = \"A\"\ninterface = \"e0\"\nvrid = 7\nvips = [{ address = \"192.0.2.1\" }]\n";
    fs::write(&native, format!("node = \"n1\"\n{instance}")).expect("written");
    let other =
        "vrrp_instance B {\n interface e0\n virtual_router_id 8\n virtual_ipaddress {\n 192.0.2.2\n }\n}\n";
    fs::write(&keepalived, other).expect("written");

    let inputs = Inputs {
        native: Some(native.clone()),
        keepalived: Some(keepalived.clone()),
        lease: Some(Lease::Off),
    };
    let loaded = load(&inputs).expect("both are right");
    assert_eq!(loaded.config.node.as_deref(), Some("n1"));
    let names: Vec<&str> = loaded.config.instances.iter().map(|instance| instance.name.as_str()).collect();
    assert_eq!(names, ["A", "B"]);
    assert!(loaded.config.instances.iter().all(|instance| instance.lease == Lease::Off), "--lease overrides");
    assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);

    fs::write(&keepalived, other.replace("id 8", "id 7").replace("192.0.2.2", "192.0.2.1")).expect("written");
    let error = load(&inputs).expect_err("they collide");
    let at = native.display();
    let expected = [
        format!("`B` uses VRID 7 on e0, which `A` at {at}:3:8 uses already"),
        format!("`B` holds 192.0.2.1, which `A` at {at}:3:8 holds too"),
    ];
    let found: Vec<&str> = error.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(found, expected);
    assert!(error.findings.iter().all(|finding| finding.place.file == keepalived && finding.place.line == 1));

    // Adverts are known by their VRID on every line that they are heard on.
    let line = "paths = [{ interface = \"hb0\" }]\n";
    let second = instance.replace("\"A\"", "\"C\"").replace("e0", "e1").replace("192.0.2.1", "192.0.2.9");
    fs::write(&keepalived, other).expect("written");
    fs::write(&native, format!("{instance}{line}{second}{line}")).expect("written");
    let error = load(&inputs).expect_err("they share a line");
    let found: Vec<&str> = error.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(found, [format!("`C` uses VRID 7 on hb0, which `A` at {at}:2:8 uses already")]);
    // Also where one of them serves.
    let second = second.replace("e1", "hb0");
    fs::write(&native, format!("{instance}{line}{second}")).expect("written");
    let error = load(&inputs).expect_err("one serves where the other is heard");
    let found: Vec<&str> = error.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(found, [format!("`C` uses VRID 7 on hb0, which `A` at {at}:2:8 uses already")]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_finding_about_the_file() {
    let missing = PathBuf::from("/nonexistent/agent.toml");
    let inputs = Inputs { native: Some(missing), ..Inputs::default() };
    let error = load(&inputs).expect_err("it is missing");
    let text = error.to_string();
    assert!(text.contains("/nonexistent/agent.toml: error: cannot be read: No such file"), "{text}");
    let shown = render(&error.findings, &error.sources, Style::Lines { color: false });
    assert!(shown.contains("/nonexistent/agent.toml: error: cannot be read"), "{shown}");
}

#[test]
fn a_file_without_end_is_refused() {
    let inputs = Inputs { keepalived: Some("/dev/zero".into()), ..Inputs::default() };
    let error = load(&inputs).expect_err("it never ends");
    assert!(error.to_string().contains("all configuration files together"), "{error}");
}

#[test]
fn check_shows_the_line_and_says_what_would_happen() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("k.conf");
    let text = "# 虚拟IP\nvrrp_instance \"虚拟IP\" { prioritty 100\n}\n";
    fs::write(&file, text).expect("written");
    let inputs = Inputs { keepalived: Some(file.clone()), ..Inputs::default() };

    let mut out = Vec::new();
    assert!(!check(&inputs, Style::Lines { color: false }, &mut out).expect("written"));
    let shown =
        String::from_utf8(out).expect("UTF-8").replace(&directory.path().display().to_string(), "DIR");
    insta::assert_snapshot!("check_lines", shown);

    let mut out = Vec::new();
    assert!(!check(&inputs, Style::Log, &mut out).expect("written"));
    let shown =
        String::from_utf8(out).expect("UTF-8").replace(&directory.path().display().to_string(), "DIR");
    insta::assert_snapshot!("check_log", shown);

    let mut out = Vec::new();
    assert!(!check(&inputs, Style::Lines { color: true }, &mut out).expect("written"));
    assert!(String::from_utf8(out).expect("UTF-8").contains("\u{1b}["), "colours were asked for");

    fs::write(
        &file,
        text.replace(
            "prioritty 100",
            "interface e0\nvirtual_router_id 3\nvirtual_ipaddress { 192.0.2.1/24 }",
        ),
    )
    .expect("written");
    let mut out = Vec::new();
    assert!(check(&inputs, Style::Log, &mut out).expect("written"));
    let shown = String::from_utf8(out).expect("UTF-8");
    let expected = "0 errors, 0 warnings: the configuration is usable\n  \
                    虚拟IP on e0: VRID 3, priority 100, every 1s, holds 192.0.2.1/24\n";
    assert_eq!(shown, expected);

    let more = "interface e0\nvirtual_router_id 3\nvirtual_ipaddress { 192.0.2.1/24 }\nunicast_peer {\n192.0.2.2\n192.0.2.3\n}\n\
                track_interface {\ne1\ne2 weight -20 reverse\n}";
    fs::write(&file, text.replace("prioritty 100", more)).expect("written");
    let mut out = Vec::new();
    assert!(check(&inputs, Style::Log, &mut out).expect("written"));
    let shown = String::from_utf8(out).expect("UTF-8");
    let expected = "holds 192.0.2.1/24, by unicast to 192.0.2.2, 192.0.2.3, tracks e1 (weight 0), e2 (weight -20 reverse)\n";
    assert!(shown.ends_with(expected), "{shown}");
}

#[test]
fn findings_come_in_the_order_of_the_text_and_not_without_end() {
    let many = read_keepalived("x\n".repeat(2000));
    let error = many.expect_err("x is no keyword");
    assert_eq!(error.findings.len(), 501);
    let last = error.findings.last().expect("one");
    assert_eq!((last.severity, last.message.as_str()), (Severity::Error, "1500 more findings are not shown"));
    assert!(error.findings.windows(2).take(499).all(|pair| pair[0].place.line < pair[1].place.line));
}

#[test]
fn every_example_in_deploy_is_usable() {
    let directory = repository().join("deploy/examples");
    let mut seen = 0;
    for entry in fs::read_dir(&directory).expect("deploy/examples") {
        let path = entry.expect("an entry").path();
        let inputs = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml")
                if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("agent")) =>
            {
                Inputs { native: Some(path.clone()), ..Inputs::default() }
            }
            Some("conf") => Inputs { keepalived: Some(path.clone()), ..Inputs::default() },
            Some(_) | None => continue,
        };
        let loaded = load(&inputs).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(loaded.findings.is_empty(), "{}: {:?}", path.display(), loaded.findings);
        seen += 1;
    }
    assert!(seen >= 4, "only {seen} examples were found in {}", directory.display());
}

#[test]
fn findings_in_a_line_of_any_length_are_told_in_time() {
    #[allow(clippy::disallowed_methods, reason = "how long the readers take is what is tested")]
    let began = std::time::Instant::now();
    for (text, many) in [("vrrp_instance A {".repeat(20_000), 500), ("{".repeat(100_000), 500)] {
        let error = read_keepalived(&text).expect_err("it is wrong");
        let shown = render(&error.findings, &error.sources, Style::Lines { color: true });
        assert!(shown.lines().count() > many, "every finding is told");
        assert!(shown.lines().all(|line| line.len() < 1000), "the line is shown");
        assert!(shown.contains("k.conf:1:"), "the places are told");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}
