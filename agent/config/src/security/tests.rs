use std::{collections::BTreeMap, fs, io, os::unix::fs::PermissionsExt};

use super::*;

const ROOT: (u32, u32) = (0, 0);
/// Some user, and its group.
const KTEST: (u32, u32) = (999, 995);

/// A file system of which only this is known.
#[derive(Default)]
struct Tree(BTreeMap<PathBuf, Meta>);

impl Tree {
    fn put(&mut self, path: &str, kind: Kind, (uid, gid): (u32, u32), mode: u32) {
        self.0.insert(PathBuf::from(path), Meta { kind, uid, gid, mode, has_acl: false, target: None });
    }

    fn directory(&mut self, path: &str, owner: (u32, u32), mode: u32) {
        self.put(path, Kind::Directory, owner, mode);
    }

    fn file(&mut self, path: &str, owner: (u32, u32), mode: u32) {
        self.put(path, Kind::File, owner, mode);
    }

    fn link(&mut self, path: &str, owner: (u32, u32), target: &str) {
        self.put(path, Kind::Link, owner, 0o777);
        self.0.get_mut(Path::new(path)).unwrap().target = Some(PathBuf::from(target));
    }

    fn look(&self, path: &Path) -> io::Result<Meta> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// `ok`, `ok, but WEAKNESS`, or the refusal.
    fn verdict(&self, script: &str, who: (u32, u32), is_strict: bool) -> String {
        let mut remarks = Vec::new();
        let account = Account::of_test(who.0, who.1);
        let command = [script.to_owned()];
        match decide(&command, &account, is_strict, "/bin", &mut remarks, &mut |path| self.look(path)) {
            Ok(_) => remarks.first().map_or_else(|| "ok".to_owned(), |remark| format!("ok, but {remark}")),
            Err(refusal) => refusal.to_string(),
        }
    }
}

/// The files that keepalived 2.2.7 was asked about.
fn tree() -> Tree {
    let mut tree = Tree::default();
    tree.directory("/", ROOT, 0o755);
    tree.directory("/opt", ROOT, 0o755);
    for (name, owner, mode) in [
        ("gw", (0, 995), 0o775),
        ("ow", ROOT, 0o777),
        ("st", ROOT, 0o1777),
        ("u", (999, 0), 0o755),
        ("ok", ROOT, 0o755),
    ] {
        tree.directory(&format!("/opt/{name}"), owner, mode);
        tree.file(&format!("/opt/{name}/s"), ROOT, 0o755);
    }
    tree.file("/opt/ok/noexec", ROOT, 0o644);
    tree.file("/opt/ok/gwf", (0, 995), 0o775);
    tree.file("/opt/ok/uown", (999, 0), 0o755);
    tree.file("/opt/ok/rootonly", ROOT, 0o700);
    tree.link("/opt/ok/link", ROOT, "../ow/s");
    tree.link("/opt/ow/linkok", ROOT, "../ok/s");
    tree.file("/opt/ok/g0w", ROOT, 0o775);
    tree.directory("/opt/ok/priv", ROOT, 0o700);
    tree.file("/opt/ok/priv/s", ROOT, 0o755);
    tree
}

#[test]
fn as_keepalived() {
    // What root must not run with `enable_script_security`, who can change it, and whether KTEST may run it.
    let table = [
        ("gw/s", Some("group 995 may write to /opt/gw"), true),
        ("ow/s", Some("everybody may write to /opt/ow"), true),
        ("st/s", None, true),
        ("u/s", Some("/opt/u belongs to user 999"), true),
        ("ok/s", None, true),
        ("ok/gwf", Some("group 995 may write to /opt/ok/gwf"), true),
        ("ok/uown", Some("/opt/ok/uown belongs to user 999"), true),
        ("ok/rootonly", None, false),
        ("ok/link", Some("everybody may write to /opt/ow"), true),
        ("ok/g0w", None, true),
        ("ok/priv/s", None, false),
    ];
    let tree = tree();
    for (name, weakness, ktest_may) in table {
        let script = format!("/opt/{name}");
        let (strict, lax) = (tree.verdict(&script, ROOT, true), tree.verdict(&script, ROOT, false));
        match weakness {
            None => assert_eq!((strict.as_str(), lax.as_str()), ("ok", "ok"), "{name}"),
            Some(weakness) => {
                let refused =
                    format!("{script}: refused by `enable_script_security`: it runs as root, but {weakness}");
                assert_eq!(without_names(&strict), refused);
                assert!(
                    without_names(&lax).starts_with(&format!("ok, but it runs as root, but {weakness}")),
                    "{lax}"
                );
            }
        }
        for is_strict in [true, false] {
            assert_eq!(tree.verdict(&script, KTEST, is_strict) == "ok", ktest_may, "{name}");
        }
    }
}

/// Names of users and groups that this machine happens to have for these numbers.
fn without_names(text: &str) -> String {
    let mut text = text.to_owned();
    if let Ok(Some(user)) = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(999)) {
        text = text.replace(&format!("user {}", user.name), "user 999");
    }
    if let Ok(Some(group)) = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(995)) {
        text = text.replace(&format!("group {}", group.name), "group 995");
    }
    text
}

#[test]
fn what_cannot_be_run_is_said_with_its_component() {
    let mut tree = tree();
    tree.link("/opt/ok/loop", ROOT, "loop");
    tree.link("/opt/ok/gone", ROOT, "/opt/missing/s");
    let table = [
        ("/opt/ok", ROOT, "/opt/ok is not a regular file"),
        ("/opt/ok/missing", ROOT, "/opt/ok/missing: cannot look at /opt/ok/missing: entity not found"),
        ("/opt/ok/gone", ROOT, "/opt/ok/gone: cannot look at /opt/missing: entity not found"),
        ("/opt/ok/s/x", ROOT, "/opt/ok/s/x: cannot look at /opt/ok/s: Not a directory (os error 20)"),
        (
            "/opt/ok/loop",
            ROOT,
            "/opt/ok/loop: cannot look at /opt/ok/loop: Too many levels of symbolic links (os error 40)",
        ),
        ("/opt/ok/noexec", ROOT, "/opt/ok/noexec: uid 0, gid 0 may not execute /opt/ok/noexec"),
        ("/opt/ok/priv/s", KTEST, "/opt/ok/priv/s: uid 999, gid 995 may not execute /opt/ok/priv"),
        ("./s", ROOT, "`./s` is a relative path; write the absolute one"),
        ("nothing", ROOT, "there is no program `nothing` in /bin"),
        ("", ROOT, "the command is empty"),
    ];
    for (script, who, refusal) in table {
        assert_eq!(tree.verdict(script, who, false), refusal, "{script}");
    }
}

/// keepalived looks only at where the link leads to; whoever may write to /opt/ow can put another one there.
#[test]
fn a_link_in_an_insecure_directory_is_insecure() {
    let verdict = tree().verdict("/opt/ow/linkok", ROOT, true);
    assert!(verdict.ends_with("everybody may write to /opt/ow"), "{verdict}");
}

#[test]
fn an_access_control_list_is_not_guessed() {
    let mut tree = tree();
    for path in ["/opt/ok/rootonly", "/opt/ok/g0w"] {
        tree.0.get_mut(Path::new(path)).unwrap().has_acl = true;
    }
    assert_eq!(tree.verdict("/opt/ok/rootonly", KTEST, true), "ok");
    assert!(tree.verdict("/opt/ok/g0w", ROOT, true).contains("access control list of /opt/ok/g0w"));
}

#[test]
fn a_name_is_looked_up_and_a_redirection_is_for_a_shell() {
    let mut tree = tree();
    tree.link("/bin", ROOT, "usr/bin");
    tree.directory("/usr", ROOT, 0o755);
    tree.directory("/usr/bin", ROOT, 0o755);
    tree.file("/usr/bin/killall", ROOT, 0o755);
    tree.file("/usr/bin/sh", ROOT, 0o755);
    let decided = |command: &str| {
        let mut remarks = Vec::new();
        let words: Vec<_> = command.split(' ').map(str::to_owned).collect();
        let account = Account::of_test(0, 0);
        let command = decide(&words, &account, true, "/none:/bin", &mut remarks, &mut |path| tree.look(path));
        (command.unwrap(), remarks)
    };
    let (command, remarks) = decided("killall -0 nginx");
    assert_eq!(command, ["/bin/killall", "-0", "nginx"]);
    let found = Remark::FoundInPath { name: "killall".to_owned(), path: PathBuf::from("/bin/killall") };
    assert_eq!(remarks, [found]);
    let (command, remarks) = decided("</dev/tcp/127.0.0.1/80");
    assert_eq!(command, ["/bin/sh", "-c", "</dev/tcp/127.0.0.1/80"]);
    assert_eq!(remarks, [Remark::ByShell]);
}

/// The whole of it on this machine's files and users.
#[test]
fn real_files_and_users() {
    let user =
        |user: &str, group: Option<&str>| UserName { user: user.to_owned(), group: group.map(str::to_owned) };
    let policy = |is_strict| Policy { user: Some(user("root", None)), is_strict };
    let command = ["/bin/sh".to_owned(), "-c".to_owned(), "true".to_owned()];
    let approved = examine(&command, None, &policy(true)).unwrap();
    assert_eq!((approved.command, approved.remarks), (command.to_vec(), Vec::new()));
    assert_eq!(approved.run_as, RunAs::User { uid: 0, gid: 0 });
    let nobody = examine(&command, Some(&user("nobody", Some("daemon"))), &policy(true)).unwrap();
    assert_eq!(nobody.run_as, RunAs::User { uid: 65534, gid: 1 });
    let unknown = |user| examine(&command, Some(&user), &policy(false)).unwrap_err().to_string();
    assert_eq!(unknown(user("nosuchuser", None)), "there is no user `nosuchuser` on this host");
    assert_eq!(unknown(user("root", Some("nosuchgroup"))), "there is no group `nosuchgroup` on this host");

    // Nobody is named.
    let default = |is_strict| examine(&command, None, &Policy { user: None, is_strict });
    match Account::named(DEFAULT_USER, None) {
        Ok(account) => assert_eq!(default(true).unwrap().run_as, account.run_as()),
        Err(_) => {
            assert!(matches!(default(true), Err(Refusal::NobodyNamed)));
            let approved = default(false).unwrap();
            assert_eq!((approved.run_as, approved.remarks), (RunAs::Agent, vec![Remark::RunsAsRoot]));
        }
    }

    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let script = directory.path().join("chk");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let command = [script.to_str().unwrap().to_owned()];
    assert_eq!(examine(&command, None, &policy(true)).unwrap().remarks, []);
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let Refusal::Insecure { weakness, .. } = examine(&command, None, &policy(true)).unwrap_err() else {
        panic!("it is insecure");
    };
    assert_eq!((weakness.component.as_path(), weakness.writer), (directory.path(), Writer::Everybody));
    assert_eq!(examine(&command, None, &policy(false)).unwrap().remarks, [Remark::Insecure(weakness)]);
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let Refusal::NotExecutable { component, .. } =
        examine(&command, Some(&user("nobody", None)), &policy(false)).unwrap_err()
    else {
        panic!("nobody cannot pass");
    };
    assert_eq!(component, directory.path());
}
