//! What belongs to an installed program: its version, completions, manual page, service and settings file.

use std::path::Path;
use std::process::Command;

use crate::support::machine::at_hand;
use crate::support::{Output, command, isolated, run};

const NOTHING: [(&str, &str); 0] = [];

/// What a command of the program prints.
fn printed(arguments: &[&str]) -> String {
    let Output { code, out, err } = run(command(&NOTHING).args(arguments));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
    out
}

/// The commands that `--help` lists.
fn commands() -> Vec<String> {
    let help = printed(&["--help"]);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let rows = list.lines().take_while(|row| !row.is_empty()).filter(|row| !row.starts_with("   "));
    let names: Vec<_> = rows.map(|row| row.split_whitespace().next().unwrap().to_owned()).collect();
    assert!(names.len() > 8 && names.contains(&"top".to_owned()), "{help}");
    names
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_version_names_the_commit_that_was_built() {
    let version = printed(&["--version"]);
    let number = concat!("plaudit ", env!("CARGO_PKG_VERSION"));
    if !root().join(".git").exists() {
        assert_eq!(version, number, "outside of a clone there is no commit to name");
        return;
    }
    let commit = version.strip_prefix(&format!("{number} (")).and_then(|rest| rest.strip_suffix(')'));
    let (hash, date) =
        commit.and_then(|commit| commit.split_once(' ')).unwrap_or_else(|| panic!("{version}"));
    assert!(hash.len() >= 12 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{version}");
    assert!(date.parse::<chrono::NaiveDate>().is_ok(), "{version}");
}

#[test]
fn on_a_full_disk_what_is_not_written_is_an_error() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    for arguments in [&["man"][..], &["completions", "bash"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut program = command(&NOTHING);
        let output = program.args(arguments).stdout(full).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains("standard output cannot be written: no space left on device"), "{err}");
    }
}

#[test]
fn bash_completes_commands_and_flags() {
    if !at_hand("completions in bash", &["bash"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("plaudit.bash");
    std::fs::write(&script, printed(&["completions", "bash"])).unwrap();
    let completed = |words: &[&str]| {
        let last = words.last().unwrap();
        let typed = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let line = format!(
            "source '{}'; complete -p plaudit; COMP_WORDS=({typed}); COMP_CWORD={}; _plaudit plaudit '{last}' x; \
             echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.len() - 1,
        );
        let Output { code, out, err } = run(isolated(Command::new("bash"), &NOTHING).args(["-c", &line]));
        assert_eq!((code, err.as_str()), (Some(0), ""));
        out.lines().last().unwrap().to_owned()
    };
    assert_eq!(completed(&["plaudit", "d"]), "demo");
    assert_eq!(completed(&["plaudit", "sh"]), "show");
    assert_eq!(completed(&["plaudit", "top", "--l"]), "--limit");
    for command in commands() {
        assert!(completed(&["plaudit", &command]).split(' ').any(|word| word == command), "{command}");
    }
}

#[test]
fn every_shell_gets_completions_that_name_each_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell} without {command}");
        }
        if ["bash", "zsh", "fish"].contains(&shell) && at_hand_quietly(shell) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("plaudit");
            std::fs::write(&path, script).unwrap();
            let parsed = run(isolated(Command::new(shell), &NOTHING).arg("-n").arg(&path));
            assert_eq!(parsed.code, Some(0), "{parsed:?}");
        }
    }
    assert_eq!(run(command(&NOTHING).args(["completions", "tcsh"])).code, Some(2));
}

/// Whether a program is there that most machines do not have.
fn at_hand_quietly(program: &str) -> bool {
    crate::support::machine::succeeds(&format!("command -v {program}"))
}

#[test]
fn the_manual_page_has_every_command_with_its_flags_and_variables() {
    let page = printed(&["man"]);
    assert!(page.contains("\n.TH plaudit 1 "), "{page}");
    for command in commands().iter().filter(|name| *name != "help") {
        assert!(page.contains(&format!("\n.SH \"plaudit {command}\"\n")), "{command}");
    }
    let plain = page.replace('\\', "");
    for words in ["--limit", "--json", "PLAUDIT_URL", "PLAUDIT_STORE", "PLAUDIT_TOKEN", ".SH \"EXIT STATUS\""]
    {
        assert!(plain.contains(words), "{words}: {plain}");
    }
    if at_hand("the manual page in man", &["man", "groff"]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plaudit.1");
        std::fs::write(&path, &page).unwrap();
        let settings = [("MANWIDTH", "80"), ("LC_ALL", "C.UTF-8")];
        let shown = run(isolated(Command::new("man"), &settings).args(["--warnings", "-l"]).arg(&path));
        assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""), "{shown:?}");
        assert!(shown.out.contains("plaudit top") && shown.out.contains("EXIT STATUS"), "{shown:?}");
    }
}

#[test]
fn the_settings_file_is_read_alike_by_systemd_docker_and_a_shell() {
    let path = root().join("deploy/plaudit.env");
    let text = std::fs::read_to_string(&path).unwrap();
    // Without what any of the three would take for syntax, all take the line as it is.
    let plain = |value: &str| value.chars().all(|c| c.is_ascii_alphanumeric() || "_-.,:/@%+".contains(c));
    let setting = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let is_name =
            name.starts_with("PLAUDIT_") && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        (is_name && plain(value)).then(|| (name.to_owned(), value.to_owned()))
    };
    let settings: Vec<_> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| setting(line).unwrap_or_else(|| panic!("{line} is not read alike")))
        .collect();
    assert!(settings.len() >= 2, "{settings:?}");

    let line = format!("set -a; . '{}'; set +a; env", path.display());
    let shell = run(isolated(Command::new("sh"), &NOTHING).args(["-c", &line]));
    let mut seen: Vec<_> = shell.out.lines().filter(|line| line.starts_with("PLAUDIT_")).collect();
    let mut expected: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);

    let check = |settings: &[(String, String)]| {
        let folder = tempfile::tempdir().unwrap();
        run(command(settings).arg("check").current_dir(folder.path()))
    };
    assert_eq!(check(&settings).code, Some(0), "{:?}", check(&settings));
    // What is off is right too, once it is turned on; a secret has no value that someone could leave as it is.
    let off: Vec<_> = text.lines().filter_map(|line| setting(line.strip_prefix('#')?)).collect();
    assert!(off.len() >= 5, "{off:?}");
    for (name, value) in &off {
        let is_secret = ["SECRET", "TOKEN"].iter().any(|word| name.contains(word));
        assert_eq!(value.is_empty(), is_secret, "{name}={value}");
    }
    assert_eq!(check(&[settings.clone(), off.clone()].concat()).code, Some(2), "an empty secret is refused");
    let filled = off.into_iter().map(|(name, value)| {
        let secret = if name.contains("SIGNING") {
            crate::support::GITLAB_SIGNING.to_owned()
        } else {
            "0123456789abcdef".repeat(4)
        };
        let value = if value.is_empty() { secret } else { value };
        (name, value)
    });
    let all = check(&settings.into_iter().chain(filled).collect::<Vec<_>>());
    assert_eq!(all.code, Some(0), "{all:?}");
}

#[test]
fn the_systemd_unit_is_sound_and_closed() {
    if !at_hand("the systemd unit", &["systemd-analyze"]) {
        return;
    }
    let unit = std::fs::read_to_string(root().join("deploy/plaudit.service")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plaudit.service");
    // `verify` wants the program to be there.
    let started = unit.replace("=/usr/local/bin/plaudit\n", &format!("={}\n", env!("CARGO_BIN_EXE_plaudit")));
    assert_ne!(started, unit);
    std::fs::write(&path, started).unwrap();
    let analyze = |arguments: &[&str]| {
        run(isolated(Command::new("systemd-analyze"), &NOTHING).args(arguments).arg(&path))
    };
    let verified = analyze(&["verify", "--man=no"]);
    assert_eq!(
        (verified.code, verified.out.as_str(), verified.err.as_str()),
        (Some(0), "", ""),
        "{verified:?}"
    );
    // The threshold is in tenths; docs/install.md names 1.2.
    let exposure = analyze(&["security", "--offline=true", "--no-pager", "--threshold=15"]);
    assert_eq!(exposure.code, Some(0), "{exposure:?}");
    // Restarted after a crash, and not after a configuration that cannot become right by itself.
    for line in ["Restart=always", "RestartPreventExitStatus=2", "EnvironmentFile=/etc/plaudit/plaudit.env"] {
        assert!(unit.lines().any(|each| each == line), "{line}");
    }
}
