use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn secret(reference: &SecretRef) -> Option<&'static Secret> {
    // Leaked: the tests' secrets live as long as the tests.
    let value = match reference.path() {
        "nul" => b"a\0b".to_vec(),
        "bytes" => vec![0xff, 0xfe],
        "missing" => return None,
        path => format!("value of {path}").into_bytes(),
    };
    Some(Box::leak(Box::new(Secret::new(value))))
}

fn server(program: &str, args: &[&str], env: &[(&str, &str)]) -> Stdio {
    Stdio {
        program: program.to_owned(),
        args: args.iter().map(|arg| arg.parse().unwrap()).collect(),
        env: env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.parse().unwrap()))
            .collect::<BTreeMap<_, Template>>(),
        ..Stdio::default()
    }
}

/// Plans with these programs on the disk.
fn planned(
    server: &Stdio,
    environment: &[(&str, &str)],
    programs: &[&str],
    system: System,
) -> Result<Plan, PlanError> {
    let programs: Vec<PathBuf> = programs.iter().map(PathBuf::from).collect();
    let place = Place {
        system,
        directory: Path::new("/srv"),
        is_program: &|path| programs.iter().any(|program| program == path),
    };
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    plan(server, &secret, environment, &[], &place)
}

fn env_of(server: &Stdio, environment: &[(&str, &str)], system: System) -> Vec<String> {
    let plan = planned(server, environment, &["/bin/x"], system).unwrap();
    let mut env: Vec<String> =
        plan.env.iter().map(|(n, v)| format!("{}={}", n.display(), v.display())).collect();
    env.sort();
    env
}

#[test]
fn a_server_gets_the_usual_variables_its_own_and_its_secrets() {
    let mut server =
        server("/bin/x", &[], &[("A", "op://V/I/f"), ("B", "x{{local://k}}y"), ("C", "plain")]);
    server.pass_env = vec!["GH_HOST".to_owned(), "NOT_SET".to_owned()];
    let environment = [
        ("PATH", "/bin"),
        ("HOME", "/home/me"),
        ("LC_ALL", "C"),
        ("XDG_DATA_HOME", "/d"),
        ("https_proxy", "http://p"),
        ("A", "of the caller"),
        ("GH_HOST", "ghe"),
        ("MY_TOKEN", "t"),
    ];
    assert_eq!(
        env_of(&server, &environment, System::Unix),
        [
            "A=value of V/I/f",
            "B=xvalue of ky",
            "C=plain",
            "GH_HOST=ghe",
            "HOME=/home/me",
            "LC_ALL=C",
            "PATH=/bin",
            "XDG_DATA_HOME=/d",
            "https_proxy=http://p",
        ]
    );
}

// LM-12
#[test]
fn what_makes_another_program_of_a_program_is_passed_only_where_it_is_listed() {
    let names = [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "DYLD_INSERT_LIBRARIES",
        "NODE_OPTIONS",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "BASH_ENV",
        "ENV",
        "GIT_SSH_COMMAND",
        "SSL_CERT_FILE",
        "SSLKEYLOGFILE",
    ];
    for name in names {
        let environment = [(name, "evil"), ("HOME", "/h")];
        let plain = server("/bin/x", &[], &[]);
        assert!(is_dangerous(name), "{name}");
        assert_eq!(env_of(&plain, &environment, System::Unix), ["HOME=/h"], "{name}");
        let listed = Stdio { pass_env: vec![name.to_owned()], ..plain };
        assert_eq!(env_of(&listed, &environment, System::Unix).len(), 2, "{name}");
        let own = server("/bin/x", &[], &[(name, "mine")]);
        let expected = format!("{name}=mine");
        assert!(env_of(&own, &environment, System::Unix).contains(&expected), "{name}");
    }
}

#[test]
fn what_opens_a_store_of_secrets_is_never_inherited_but_may_be_a_variable_of_its_own() {
    for name in [
        "OP_SERVICE_ACCOUNT_TOKEN",
        "OP_CONNECT_TOKEN",
        "STRONGROOM_HOME",
        "VAULT_TOKEN",
        "BAO_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AZURE_CLIENT_SECRET",
        "BWS_ACCESS_TOKEN",
        "DOPPLER_TOKEN",
        "INFISICAL_TOKEN",
        "SOPS_AGE_KEY",
        "KEEPASSXC_KEY",
        "PASSWORD_STORE_DIR",
        "CREDENTIAL_ENCRYPTION_KEY",
        "aws_session_token",
    ] {
        let environment = [(name, "canary")];
        let plain = server("/bin/x", &[], &[]);
        assert!(env_of(&plain, &environment, System::Unix).is_empty(), "{name}");
        let listed = Stdio { pass_env: vec![name.to_owned()], ..plain };
        let error = planned(&listed, &environment, &["/bin/x"], System::Unix).unwrap_err();
        assert!(matches!(error, PlanError::UnlockMaterial { .. }), "{name}");
        assert!(error.hint().unwrap().contains("env://"), "{name}");
        let own = server("/bin/x", &[], &[(name, "local://k")]);
        let expected = format!("{name}=value of k");
        assert_eq!(env_of(&own, &environment, System::Unix), [expected]);
    }
}

#[test]
fn a_program_is_found_in_absolute_folders_of_path_and_nowhere_else() {
    let found = |program: &str, path: &str, programs: &[&str]| {
        planned(&server(program, &[], &[]), &[("PATH", path)], programs, System::Unix)
            .map(|plan| plan.program.display().to_string())
    };
    assert_eq!(found("npx", "/a:/b", &["/b/npx"]).unwrap(), "/b/npx");
    assert_eq!(found("npx", "/a:/b", &["/a/npx", "/b/npx"]).unwrap(), "/a/npx");
    assert_eq!(found("./npx", "/a", &["/srv/./npx"]).unwrap(), "/srv/./npx");
    assert_eq!(found("bin/npx", "/a", &["/srv/bin/npx"]).unwrap(), "/srv/bin/npx");
    // LM-12: `.`, an empty entry and a relative one are the current directory.
    for path in [".", "", ":", "bin", "/a:"] {
        let programs = ["/srv/npx", "/srv/bin/npx", "npx", "bin/npx", "./npx"];
        assert!(matches!(found("npx", path, &programs), Err(PlanError::NotFound { .. })), "{path}");
    }
    let error = found("/nowhere/npx", "/a", &[]).unwrap_err();
    assert!(matches!(error, PlanError::NotAProgram { .. }));
}

#[test]
fn a_relative_program_and_directory_start_where_the_caller_is() {
    let server = Stdio { cwd: Some("sub".into()), ..server("./x", &[], &[]) };
    let plan = planned(&server, &[], &["/srv/sub/./x"], System::Unix).unwrap();
    assert_eq!(plan.cwd.unwrap(), Path::new("/srv/sub"));
}

#[test]
fn windows_has_no_case_in_names_and_extensions_that_are_not_written() {
    let environment = [("Path", r"C:\node"), ("SystemRoot", r"C:\Windows"), ("a", "of the caller")];
    let server = server("npx", &[], &[("A", "local://k")]);
    let programs = [r"C:\node\npx.cmd"];
    let plan = planned(&server, &environment, &programs, System::Windows).unwrap();
    assert_eq!(plan.program, Path::new(r"C:\node\npx.cmd"));
    let names: Vec<_> = plan.env.iter().map(|(name, _)| name.to_str().unwrap()).collect();
    assert_eq!(names, ["Path", "SystemRoot", "A"]);
}

// LM-13
#[test]
fn nothing_in_an_argument_means_anything() {
    let odd = ["; id", "$(id)", "`id`", "-rf", "a b", "\"", "'", "\\", "*", "| sh", "%PATH%", "\n"];
    let server = server("/bin/x", &odd, &[]);
    let plan = planned(&server, &[], &["/bin/x"], System::Unix).unwrap();
    assert_eq!(plan.args, odd.map(OsString::from));
}

#[test]
fn a_batch_file_is_given_no_line_break() {
    let programs = [r"C:\npx.cmd", r"C:\node.exe"];
    for (program, fits) in [(r"C:\npx.cmd", false), (r"C:\node.exe", true)] {
        let server = server(program, &["a\nb"], &[]);
        assert_eq!(planned(&server, &[], &programs, System::Windows).is_ok(), fits, "{program}");
    }
    let server = server(r"C:\npx.cmd", &["a\" & calc.exe", "%PATH%"], &[]);
    assert!(planned(&server, &[], &programs, System::Windows).is_ok(), "std quotes these");
}

#[test]
fn a_nul_is_refused_wherever_it_stands_and_named_without_its_text() {
    for (args, env) in [
        (&["a\0canary"][..], &[][..]),
        (&[], &[("A", "canary\0b")]),
        (&[], &[("A", "local://nul")]),
    ] {
        let error = planned(&server("/bin/x", args, env), &[], &["/bin/x"], System::Unix);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("a NUL") && !error.contains("canary"), "{error}");
    }
    for name in ["", "A=B", "A\0B"] {
        let server = server("/bin/x", &[], &[(name, "x")]);
        assert_eq!(planned(&server, &[], &["/bin/x"], System::Unix), Err(PlanError::Name));
    }
    let server = server("/bin\0/x", &[], &[]);
    assert!(planned(&server, &[], &["/bin\0/x"], System::Unix).is_err());
}

#[test]
fn a_secret_that_is_no_text_is_one_on_unix_only() {
    let server = server("/bin/x", &[], &[("A", "local://bytes")]);
    assert_eq!(planned(&server, &[], &["/bin/x"], System::Unix).is_ok(), cfg!(unix));
    let server = Stdio { program: r"C:\x.exe".to_owned(), ..server };
    let error = planned(&server, &[], &[r"C:\x.exe"], System::Windows).unwrap_err();
    assert!(error.to_string().contains("the variable `A`"), "{error}");
}

#[test]
fn a_plan_shows_no_value() {
    let server = server("/bin/x", &["local://canary"], &[("A", "local://canary")]);
    let plan = planned(&server, &[], &["/bin/x"], System::Unix).unwrap();
    assert!(!format!("{plan:?}").contains("canary"));
    let missing = self::server("/bin/x", &[], &[("A", "local://missing")]);
    let error = planned(&missing, &[], &["/bin/x"], System::Unix).unwrap_err();
    assert!(matches!(error, PlanError::NoSecret { .. }));
}

proptest! {
    #[test]
    fn no_environment_of_a_caller_brings_a_name_that_is_not_passed(
        names in proptest::collection::vec("[A-Za-z_]{1,12}", 0..20),
    ) {
        let environment: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
        for system in [System::Unix, System::Windows] {
            let programs = if system == System::Unix { "/bin/x" } else { r"C:\x.exe" };
            let plan = planned(&server(programs, &[], &[]), &environment, &[programs], system);
            for (name, _) in plan.unwrap().env {
                prop_assert!(is_passed(name.to_str().unwrap(), system));
            }
        }
    }
}
