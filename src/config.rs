//! The whole configuration: reads every section and reports all faults at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::domain::Milestones;
use crate::hosts::deliveries::Reconciling;
use crate::http::access::{self, Access};
use crate::http::request_timeout::{self, RequestTimeout};
use crate::http::{Sections, cors, oidc, proxies};
use crate::publish::{self, Destinations, comment};
use crate::settings::{Flags, InvalidConfig, Setting, Settings};
use crate::telemetry::{Logging, logs};
use crate::{hosts, store};

/// Every setting that is a flag, in the order of `--help`.
const SETTINGS: [&[Setting]; 14] = [
    &[LISTEN],
    store::at::SETTINGS,
    publish::to::SETTINGS,
    access::SETTINGS,
    cors::SETTINGS,
    proxies::SETTINGS,
    &[MILESTONES],
    hosts::rules::SETTINGS,
    hosts::allowed::SETTINGS,
    hosts::deliveries::SETTINGS,
    comment::SETTINGS,
    oidc::SETTINGS,
    request_timeout::SETTINGS,
    logs::SETTINGS,
];

const LISTEN: Setting = Setting {
    variable: "PLAUDIT_LISTEN",
    flag: "listen",
    value: "ADDRESS",
    example: "127.0.0.1:8080",
    help: "Address to listen on [default: 127.0.0.1:8080; if PORT is set, 0.0.0.0:$PORT]",
};
const MILESTONES: Setting = Setting {
    variable: "PLAUDIT_MILESTONES",
    flag: "milestones",
    value: "LIST",
    example: "3,10,100",
    help: "Tallies that earn a recognition, ascending [default: 3]",
};

/// What is configured, checked.
#[derive(Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub store: store::At,
    pub forget_key: Option<store::ForgetKey>,
    pub publish: Destinations,
    pub service: Sections,
    pub log: Logging,
}

impl Config {
    /// Reads flags and environment; an error lists all that is wrong.
    pub fn read(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, InvalidConfig> {
        let mut settings = Settings::new(flags, env);
        let from = &mut settings;
        let listen = listen(from);
        let (store, publish, hosts) = (store::At::read(from), Destinations::read(from), hosts::open(from));
        let reached_by_hosts = hosts.iter().any(|opened| opened.host.is_some());
        let mut config = Self {
            listen,
            store,
            forget_key: store::ForgetKey::read(from),
            publish,
            service: Sections {
                hosts,
                access: Access::configured(from, listen.ip().is_loopback(), reached_by_hosts),
                origins: cors::Origins::read(from),
                proxies: proxies::Proxies::read(from),
                milestones: from.value(&MILESTONES, Milestones::default(), |text| {
                    Milestones::parse(text).map_err(|error| error.to_string())
                }),
                rules: hosts::Rules::read(from),
                drain: oidc::Identity::read(from),
                request_timeout: RequestTimeout::read(from),
                reconciling: Reconciling::default(),
            },
            log: Logging::read(from),
        };
        config.service.reconciling = hosts::deliveries::reconciling(from, &config.service.rules);
        let project = config.store.project().or(config.publish.project());
        config.log.project = config.log.project.or(project.map(str::to_owned));
        settings.finish(config)
    }
}

/// Every variable that the service reads: settings, secrets, and the files of secrets.
#[must_use]
pub fn variables() -> BTreeSet<String> {
    let asked: RefCell<BTreeSet<String>> = RefCell::default();
    let nothing_set = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        None
    };
    // Whatever is unset has a default, so that all of them are asked for.
    let _ = Config::read(&Flags::default(), &nothing_set);
    asked.into_inner()
}

fn listen(settings: &mut Settings<'_>) -> SocketAddr {
    let default = SocketAddr::from(([127, 0, 0, 1], 8080));
    let Some(port) = settings.foreign("PORT").filter(|_| !settings.is_set(&LISTEN)) else {
        return settings.value(&LISTEN, default, |text| text.parse().map_err(|_| no_address(text)));
    };
    port.trim().parse().map_or_else(
        |_| {
            settings.fault("PORT", &format!("{port:?} is wrong: not a port"), "8080");
            default
        },
        |port| SocketAddr::from(([0, 0, 0, 0], port)),
    )
}

/// Why a text is no address, and the nearest one: only a port, or a name where an IP address is needed.
fn no_address(text: &str) -> String {
    let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
    port.parse::<u16>().map_or_else(
        |_| "not an IP address with a port".to_owned(),
        |port| format!("not an IP address with a port: 127.0.0.1:{port} for this machine, 0.0.0.0:{port} for every interface"),
    )
}

/// Every setting as a flag.
impl clap::Args for Flags {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(SETTINGS.into_iter().flatten().map(Setting::as_flag))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        self.take(SETTINGS.into_iter().flatten(), matches);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)]) -> Result<Config, InvalidConfig> {
        let value = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        Config::read(&Flags::default(), &value)
    }

    #[test]
    fn all_faults_are_listed_at_once_and_no_secret_is_shown() {
        let env = [
            ("PLAUDIT_LISTEN", "nowhere"),
            ("PLAUDIT_STORE", "paper:x"),
            ("PLAUDIT_MILESTONES", "3,2"),
            ("PLAUDIT_OPEN_API", "yes"),
            ("PLAUDIT_DRAIN_EMAIL", "x@y"),
            ("PLAUDIT_GITHUB_SECRET", "hush,"),
            ("PLAUDIT_GITLAB_SIGNING_TOKEN", "whsec_!"),
            ("PLAUDIT_API_TOKENS", "  "),
        ];
        let InvalidConfig(faults) = read(&env).unwrap_err();
        let variables: Vec<_> = faults.iter().map(|f| f.split(':').next().unwrap()).collect();
        let expected = [
            "PLAUDIT_LISTEN",
            "PLAUDIT_STORE",
            "PLAUDIT_GITHUB_SECRET",
            "PLAUDIT_GITLAB_SIGNING_TOKEN",
            "PLAUDIT_API_TOKENS",
            "PLAUDIT_OPEN_API",
            "PLAUDIT_MILESTONES",
            "PLAUDIT_DRAIN_AUDIENCE",
        ];
        assert_eq!(variables, expected);
        assert!(!faults.concat().contains("hush"));
    }

    #[test]
    fn cloud_run_listens_on_its_port_and_is_refused_a_ledger_in_memory() {
        let env = [("PORT", "9000"), ("K_SERVICE", "plaudit")];
        assert_eq!(read(&env).unwrap_err().0.len(), 1);
        let [port, service] = env;
        let config = read(&[port, service, ("PLAUDIT_STORE", "firestore:demo")]).unwrap();
        assert_eq!(config.listen.to_string(), "0.0.0.0:9000");
        let timeout = |env: &[(&str, &str)]| read(env).unwrap().service.request_timeout;
        assert_eq!(config.service.request_timeout, timeout(&[("PLAUDIT_REQUEST_TIMEOUT", "300")]));
        assert_eq!(timeout(&[]), RequestTimeout::default());
        assert!(config.service.access.read(&http::HeaderMap::new()).is_err());
    }

    #[test]
    fn on_cloud_run_one_proxy_is_trusted_and_elsewhere_none_unless_set() {
        let headers =
            [(http::HeaderName::from_static("x-forwarded-for"), "6.6.6.6, 203.0.113.7".parse().unwrap())];
        let headers: http::HeaderMap = headers.into_iter().collect();
        let client = |env: &[(&str, &str)]| {
            let proxies =
                read(&[env, &[("PLAUDIT_STORE", "firestore:demo")]].concat()).unwrap().service.proxies;
            proxies.client(&headers, [127, 0, 0, 1].into()).to_string()
        };
        let cloud_run = ("K_SERVICE", "plaudit");
        assert_eq!(client(&[]), "127.0.0.1");
        assert_eq!(client(&[cloud_run]), "203.0.113.7");
        assert_eq!(client(&[("PLAUDIT_TRUSTED_PROXIES", "2")]), "6.6.6.6");
        assert_eq!(client(&[cloud_run, ("PLAUDIT_TRUSTED_PROXIES", "0")]), "127.0.0.1");
        assert!(read(&[("PLAUDIT_TRUSTED_PROXIES", "-1")]).is_err());
    }

    #[test]
    fn what_is_read_beside_secrets_is_exactly_what_is_a_flag() {
        let asked = variables();
        let secret = |name: &String| asked.contains(&format!("{name}_FILE")) || name.ends_with("_FILE");
        let read: Vec<_> =
            asked.iter().filter(|name| name.starts_with("PLAUDIT_") && !secret(name)).collect();
        let mut flags: Vec<_> = SETTINGS.into_iter().flatten().map(|setting| setting.variable).collect();
        flags.sort_unstable();
        assert_eq!(read, flags);
    }

    #[test]
    fn a_flag_is_named_as_its_variable_and_goes_before_it() {
        use clap::FromArgMatches as _;
        for setting in SETTINGS.into_iter().flatten() {
            let words = setting.variable.strip_prefix("PLAUDIT_").unwrap();
            assert_eq!(setting.flag, words.to_lowercase().replace('_', "-"));
        }
        let command = <Flags as clap::Args>::augment_args(clap::Command::new("plaudit"));
        let matches = command.try_get_matches_from(["plaudit", "--milestones", "7"]).unwrap();
        let flags = Flags::from_arg_matches(&matches).unwrap();
        let env = |name: &str| match name {
            "PLAUDIT_MILESTONES" => Some("5".to_owned()),
            "PLAUDIT_IGNORE" => Some("github:mona".to_owned()),
            _ => None,
        };
        let service = Config::read(&flags, &env).unwrap().service;
        assert_eq!(service.milestones, Milestones::parse("7").unwrap());
        assert_eq!(service.rules.ignore, ["github:mona"]);
    }
}
