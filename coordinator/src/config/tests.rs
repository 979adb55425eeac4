#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

fn problems(text: &str) -> String {
    match Config::parse(text, Path::new("c.toml")) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = Config::parse("", Path::new("c.toml")).unwrap();
    assert_eq!(config.listen.to_string(), DEFAULT_LISTEN);
    assert_eq!(config.data_dir, Path::new(DEFAULT_DATA_DIR));
    assert_eq!(config.windows, Windows::default());
    assert!(config.receivers.is_empty() && config.database.is_none());
}

#[test]
fn the_example_is_right() {
    let text = include_str!("../../../deploy/examples/coordinator.toml");
    let config = Config::parse(text, Path::new("/etc/hafleet/coordinator.toml")).unwrap();
    assert_eq!(config.receivers.len(), 1);
    // Every key that the example shows commented out must be right too.
    let uncommented: String = text
        .lines()
        .map(|line| line.strip_prefix("#~ ").unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    let dir = tempfile::tempdir().unwrap();
    for file in ["webhook-ca.pem", "smtp-password"] {
        fs::write(dir.path().join(file), "x\n").unwrap();
    }
    let config = Config::parse(&uncommented, &dir.path().join("c.toml")).unwrap();
    assert_eq!(config.receivers.len(), 3);
    assert_eq!(config.windows, Windows::default());
}

#[test]
fn everything_wrong_is_named_with_its_place() {
    assert_eq!(problems("lisen = \"x\""), "c.toml:1:1: unknown key `lisen`; did you mean `listen`?");
    assert_eq!(
        problems("\nlisten = 7"),
        "c.toml:2:10: `listen`: invalid type: integer `7`, expected a string"
    );
    assert_eq!(
        problems("listen = \"here\""),
        "c.toml:1:10: `listen`: `here` is not ADDRESS:PORT, such as \"0.0.0.0:7443\""
    );
    assert_eq!(
        problems("[windows]\nfresh = \"3 parsecs\""),
        "c.toml:2:9: `windows.fresh`: `3 parsecs` is not a duration such as \"500ms\", \"3s\", \"1h\" or \"7d\""
    );
    assert!(problems("listen = ").starts_with("c.toml:1:"));
    assert_eq!(
        problems("[[receiver]]\nname = \"a\"\ntype = \"webhok\""),
        "c.toml:3:8: `receiver.type`: `webhok` is none of log, webhook, email; did you mean `webhook`?"
    );
    assert_eq!(
        problems("[[receiver]]\nname = \"a\"\ntype = \"log\"\nurl = \"http://x/\""),
        "c.toml:4:7: `receiver.url` has no meaning for type `log`"
    );
    let both = problems(
        "[[receiver]]\nname = \"a\"\ntype = \"webhook\"\n[[receiver]]\nname = \"a\"\ntype = \"email\"",
    );
    for expected in [
        "c.toml:3:8: receiver of type `webhook` needs `url`",
        "c.toml:5:8: `receiver.name`: there is already a receiver `a`",
        "c.toml:6:8: receiver of type `email` needs `smtp`",
        "needs `to = ",
    ] {
        assert!(both.contains(expected), "{expected} is not in\n{both}");
    }
}

#[test]
fn the_password_is_never_shown() {
    let text = "[[receiver]]\nname = \"m\"\ntype = \"email\"\nsmtp = \"h\"\nfrom = \"a@b.c\"\nto = [\"a@b.c\"]\n\
                username = \"u\"\npassword = \"hunter2\"";
    let config = Config::parse(text, Path::new("c.toml")).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
