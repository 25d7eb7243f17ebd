//! The config file, and the notes that tell what was chosen.

use crate::support::server::{Server, closed_port};
use crate::support::{TestEnv, fixture};

#[test]
fn what_nobody_chose_is_told() {
    let server = Server::nexus(&fixture("nexus/task-2026.json"));
    let config = format!(
        "[contexts.default]\nurl = \"{}\"\n\n[contexts.away]\nurl = \"{}\"\n",
        server.url(),
        closed_port()
    );

    let by_file = TestEnv::new().with_config(&config).run(&["status", "-o", "ids"]);
    insta::assert_snapshot!(by_file, @r#"
    0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002
    0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001
    ! note: using internal API http://127.0.0.1:PORT (context "default" of DIR/config/sagactl/config.toml)
    = 0
    "#);

    let away = TestEnv::new().with_config(&config).run(&["status", "--context", "away"]);
    assert_eq!(away.code, 3, "{away}");
    assert!(away.stderr.starts_with("note: using internal API "), "{away}");

    // Given on the command line or in a variable, nobody need be told.
    let given = TestEnv::at(&server).with_config(&config).run(&["status", "-o", "ids"]);
    assert_eq!((given.code, given.stderr.as_str()), (0, ""));
}

#[test]
fn a_bad_file_is_named_with_its_line() {
    let run = |text: &str| TestEnv::new().with_config(text).run(&["status"]);
    insta::assert_snapshot!(run("[contexts.default]\nurl = \"localhost:1\"\n"), @r#"
    ! error: DIR/config/sagactl/config.toml:2: invalid value "localhost:1" of key "url": the scheme is missing; try http://localhost:1
    = 2
    "#);
    insta::assert_snapshot!(run("[contexts.default]\nurl = 'a\n"), @"
    ! error: DIR/config/sagactl/config.toml:2: invalid literal string, expected `'`
    = 2
    ");
    insta::assert_snapshot!(run("[context.default]\n"), @"
    ! error: DIR/config/sagactl/config.toml:1: unknown field `context`, expected `contexts`
    = 2
    ");
}

#[test]
fn a_token_goes_along_and_is_never_shown() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::nexus(&fixture("nexus/task-2026.json"));
    let env = TestEnv::at(&server);
    let file = env.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let run = env.run(&["status", "-vvv", "--token-file", "token"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(!format!("{run}").contains("s3cret"));
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.headers.contains(&"authorization: Bearer s3cret".to_owned()))
    );

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    insta::assert_snapshot!(env.run(&["status", "--token-file", "token"]), @"
    ! error: the token file cannot be used
    ! caused by: token file token can be read by others than its owner (mode 644)
    ! hint: chmod 600 token
    = 2
    ");
    insta::assert_snapshot!(env.run(&["status", "--token-file", "none"]), @"
    ! error: the token file cannot be used
    ! caused by: reading token file none
    ! caused by: No such file or directory (os error 2)
    = 2
    ");
}
