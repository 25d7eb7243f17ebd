//! Which setting counts: flag, variable, file or default; and what is wrong with those that cannot.

use super::*;
use std::collections::HashMap;
use std::fs;

/// A config file in a directory of its own, and an environment that points there.
struct Setup {
    dir: tempfile::TempDir,
    variables: HashMap<String, OsString>,
}

impl Setup {
    fn new(file: Option<&str>, variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut all = HashMap::from([("XDG_CONFIG_HOME".to_owned(), dir.path().as_os_str().to_owned())]);
        all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))));
        if let Some(text) = file {
            fs::create_dir(dir.path().join("sagactl")).unwrap();
            fs::write(dir.path().join("sagactl/config.toml"), text).unwrap();
        }
        Self { dir, variables: all }
    }

    fn resolve(&self, flags: &GlobalArgs) -> Result<Settings, Failure> {
        Settings::resolve(flags, &|name| self.variables.get(name).cloned())
    }

    fn error(&self, flags: &GlobalArgs) -> String {
        let failure = self.resolve(flags).expect_err("this should be refused");
        assert_eq!(crate::cli::failure::exit_code(&Err(failure)), 2);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        self.resolve(flags).unwrap_err().write(&mut out, &mut err).unwrap();
        String::from_utf8(err).unwrap().replace(self.dir.path().to_str().unwrap(), "DIR")
    }
}

const FILE: &str = r#"
[contexts.default]
url = "http://from-default:1"
timeout = "4s"
no-retry = true

[contexts.rack]
url = "http://from-rack:2"
output = "json"
color = "always"
db-url = "sqlite:/rack.db"
"#;

#[test]
fn without_anything_the_defaults_hold() {
    let settings = Setup::new(None, &[]).resolve(&GlobalArgs::default()).unwrap();
    assert_eq!(settings.url, default_url(DEFAULT_URL));
    assert_eq!(settings.external_url.value.to_string(), DEFAULT_EXTERNAL_URL);
    assert_eq!(settings.db_url, None);
    assert_eq!((settings.output, settings.color), (OutputMode::Table, ColorChoice::Auto));
    assert_eq!((settings.timeout, settings.retry), (DEFAULT_TIMEOUT, RetryScope::Idempotent));
    assert_eq!((settings.token_file, settings.verbosity), (None, Verbosity::Warn));
}

#[test]
fn flag_beats_variable_beats_context_beats_default() {
    let flag = GlobalArgs {
        url: vec!["http://from-flag:3".parse().unwrap()],
        timeout: Some("1s".parse().unwrap()),
        ..GlobalArgs::default()
    };
    let none = GlobalArgs::default();
    let variables = [("SAGACTL_URL", "http://from-variable:4"), ("SAGACTL_NO_RETRY", "no")];

    let all = Setup::new(Some(FILE), &variables);
    let settings = all.resolve(&flag).unwrap();
    assert_eq!(
        (settings.url.value.to_string().as_str(), &settings.url.source),
        ("http://from-flag:3", &Source::Flag)
    );
    assert_eq!((settings.timeout, settings.retry), (Duration::from_secs(1), RetryScope::Idempotent));

    let settings = all.resolve(&none).unwrap();
    assert_eq!(settings.url.value.to_string(), "http://from-variable:4");
    assert_eq!((settings.url.source, settings.timeout), (Source::Variable, Duration::from_secs(4)));

    let settings = Setup::new(Some(FILE), &[]).resolve(&none).unwrap();
    assert_eq!(settings.url.value.to_string(), "http://from-default:1");
    assert!(
        matches!(&settings.url.source, Source::Context(words) if words.starts_with("context \"default\" of "))
    );
    assert_eq!(settings.retry, RetryScope::Nothing);
}

#[test]
fn a_context_is_chosen_by_flag_or_variable() {
    let rack = GlobalArgs { context: Some("rack".to_owned()), ..GlobalArgs::default() };
    let by_flag = Setup::new(Some(FILE), &[("SAGACTL_CONTEXT", "default")]).resolve(&rack).unwrap();
    let by_variable = Setup::new(Some(FILE), &[("SAGACTL_CONTEXT", "rack")]);
    for settings in [by_flag, by_variable.resolve(&GlobalArgs::default()).unwrap()] {
        assert_eq!(settings.url.value.to_string(), "http://from-rack:2");
        assert_eq!((settings.output, settings.color), (OutputMode::Json, ColorChoice::Always));
        assert_eq!(settings.db_url.unwrap().value, DbUrl::Sqlite("/rack.db".into()));
    }
}

#[test]
fn no_color_beats_the_file_but_not_the_flag() {
    let setup = Setup::new(Some(FILE), &[("SAGACTL_CONTEXT", "rack"), ("NO_COLOR", "1")]);
    assert_eq!(setup.resolve(&GlobalArgs::default()).unwrap().color, ColorChoice::Never);
    let flag = GlobalArgs { color: Some(ColorChoice::Always), ..GlobalArgs::default() };
    assert_eq!(setup.resolve(&flag).unwrap().color, ColorChoice::Always);
}

#[test]
fn a_bad_file_is_named_with_its_line() {
    let at = |text: &str| Setup::new(Some(text), &[]).error(&GlobalArgs::default());
    let file = "error: DIR/sagactl/config.toml";
    assert_eq!(
        at("[contexts.default]\n\nurrl = \"x\"\n"),
        format!(
            "{file}:3: unknown key \"urrl\"; known keys: url, external-url, db-url, output, color, timeout, \
             no-retry, retry, token-file, ca-file, log\n"
        )
    );
    assert_eq!(
        at("[contexts.default]\ntimeout = \"soon\"\n"),
        format!(
            "{file}:2: invalid value \"soon\" of key \"timeout\": expected number at 0; durations look like \
             500ms, 30s or 2m\n"
        )
    );
    assert_eq!(
        at("[contexts.default]\ntimeout = 30\n"),
        format!("{file}:2: invalid value 30 of key \"timeout\": a string is expected, not integer\n")
    );
    assert!(at("a = 1\n").starts_with(&format!("{file}:1: unknown field `a`")), "{}", at("a = 1\n"));
    assert!(at("[contexts.default]\nurl = \n").starts_with(&format!("{file}:2: ")));
}

#[test]
fn an_unknown_context_is_an_error_that_names_the_known_ones() {
    let asked = GlobalArgs { context: Some("rock".to_owned()), ..GlobalArgs::default() };
    assert_eq!(
        Setup::new(Some(FILE), &[]).error(&asked),
        "error: unknown context \"rock\" in DIR/sagactl/config.toml; known contexts: default, rack\n"
    );
    assert_eq!(
        Setup::new(None, &[]).error(&asked),
        "error: unknown context \"rock\": there is no config file DIR/sagactl/config.toml\n"
    );
}

#[test]
fn a_bad_variable_is_named() {
    for (name, value, reason) in [
        ("SAGACTL_TIMEOUT", "0s", "must be more than zero"),
        ("SAGACTL_URL", "localhost:1", "the scheme is missing; try http://localhost:1"),
        ("SAGACTL_OUTPUT", "xml", "possible values are table, json, jsonl, ids"),
        ("SAGACTL_DB_URL", "mysql://h", "databases are sqlite:PATH or postgresql://…"),
        ("SAGACTL_NO_RETRY", "perhaps", "possible values are true and false"),
        ("SAGACTL_LOG", "loud", "possible values are warn, info, debug, trace"),
    ] {
        assert_eq!(
            Setup::new(None, &[(name, value)]).error(&GlobalArgs::default()),
            format!("error: invalid value {value:?} of variable {name}: {reason}\n")
        );
        // An empty variable is no variable.
        assert!(Setup::new(None, &[(name, "")]).resolve(&GlobalArgs::default()).is_ok());
    }
}

#[test]
fn database_urls_are_shown_without_passwords() {
    for (url, shown) in [
        ("sqlite:/var/lib/x.db", "sqlite:/var/lib/x.db"),
        ("postgresql://root:s3cret@h:32221/omicron?password=s3cret", "postgresql://h:32221/omicron"),
        ("postgres://h/db", "postgresql://h/db"),
    ] {
        assert_eq!(url.parse::<DbUrl>().unwrap().to_string(), shown);
    }
}

#[test]
fn passwords_of_urls_that_are_refused_are_not_repeated() {
    for text in [
        "mysql://u:PLANTED@h/db",
        "u:PLANTED@h",
        "postgresql:u:PLANTED@h",
        "http://h/?token=PLANTED",
        "a@b://PLANTED",
    ] {
        let setup = Setup::new(None, &[("SAGACTL_DB_URL", text), ("SAGACTL_URL", text)]);
        let error = setup.error(&GlobalArgs::default());
        assert!(error.contains("invalid value") && !error.contains("PLANTED"), "{text}: {error}");
        let file = format!("[contexts.default]\ndb-url = {text:?}\n");
        let error = Setup::new(Some(&file), &[]).error(&GlobalArgs::default());
        assert!(error.contains("invalid value") && !error.contains("PLANTED"), "{text}: {error}");
    }
}

#[test]
fn fuzzed_config_files_are_read_or_refused() {
    crate::fuzz::fuzz_text(&[FILE], |text, random| {
        let context = *random.one_of(&[None, Some("rack")]);
        let Ok(file) = file::read(text, PathBuf::from("config.toml"), context) else { return };
        let sources = Sources { environment: &|_| None, file: &file };
        let _ = sources.in_file::<BaseUrl>("url").map(|chosen| chosen.map(|url| url.value.to_string()));
        let _ = sources.in_file::<DbUrl>("db-url").map(|chosen| chosen.map(|url| url.value.to_string()));
        let _ = sources.in_file::<Timeout>("timeout");
        let _ = sources.in_file::<Word<OutputMode>>("output");
        let _ = sources.in_file::<Switch>("no-retry");
    });
}

#[test]
fn fuzzed_database_urls_never_show_a_password() {
    let seeds = [
        "postgresql://u:PLANTED@h:5432/db?sslmode=disable&connect_timeout=5",
        "postgres://u@[::1]:1,[::2]:2/db?password=PLANTED&target_session_attrs=read-write",
        "postgresql:///db?host=/var/run&user=u&password=PLANTED",
        "sqlite:/var/lib/sagactl/sagactl.db",
    ];
    crate::fuzz::fuzz_text(&seeds, |text, _| {
        let Ok(url) = text.parse::<DbUrl>() else { return };
        let DbUrl::Postgresql(whole) = &url else { return };
        let Ok(config) = whole.parse::<tokio_postgres::Config>() else { return };
        let password = config.get_password().unwrap_or_default();
        let is_planted = password.windows(7).any(|part| part == b"PLANTED");
        if is_planted && text.matches("PLANTED").count() == 1 {
            assert!(!url.to_string().contains("PLANTED"), "{url}");
        }
    });
}

#[test]
fn fuzzed_timeouts_are_more_than_nothing() {
    crate::fuzz::fuzz_text(&["30s", "1m 30s", "500ms", "2h 5min 3us", "1y"], |text, _| {
        if let Ok(Timeout(timeout)) = text.parse() {
            assert!(!timeout.is_zero());
        }
    });
}
