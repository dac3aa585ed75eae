//! Every command in-process: against a daemon over a data plane in memory, and without one.

mod desk;
mod looks;
mod offline;
mod orders;
mod stories;

use super::*;
use crate::api::listen::Listening;
use crate::api::server;
use crate::dataplane::fake::Fake;
use crate::dataplane::{
    AttachPlan, AttachSpec, BackendSpec, Dataplane, DeploymentSpec, Detached, FlowRow, FlowState, Hook, Path,
    Protocol, ServiceSpec, Side,
};
use crate::engine::Engine;
use crate::refusal::Refusal;
use bg_common::Colour;
use bg_common::{Reason, Via, Word};
use clap::CommandFactory;
use serde_json::{Value, json};
use std::time::Duration;

/// A daemon over a data plane in memory, and the files of its gateway.
struct Lab {
    fake: Fake,
    dir: tempfile::TempDir,
}

/// How a command ended.
struct Ran {
    code: u8,
    out: String,
    err: String,
}

/// Opens the data plane that the daemon has, as the kernel would.
struct Pinned(Option<Fake>);

impl Kernel for Pinned {
    fn open(&self, instance: &str) -> Result<Box<dyn Dataplane>, Refusal> {
        match &self.0 {
            Some(fake) => Ok(Box::new(fake.clone())),
            None => Err(Refusal::new("nothing-pinned", "nothing is pinned", instance, "systemctl start bgd")),
        }
    }

    fn remove(&self, _: &str) -> Result<Detached, Refusal> {
        match &self.0 {
            Some(fake) => fake.clone().detach(),
            None => Ok(Detached::default()),
        }
    }
}

fn spec(name: &str, third: u8) -> DeploymentSpec {
    let backend = |second| BackendSpec::serving(([10, second, third, 2], 8080).into(), Via::Stack, 3);
    let service = ServiceSpec {
        name: "web".to_owned(),
        protocol: Protocol::Tcp,
        frontends: vec![([192, 0, 2, third], 80).into(), "[2001:db8::10]:80".parse().unwrap()],
        backends: [vec![backend(1)], vec![backend(2), backend(3)]],
        ..ServiceSpec::default()
    };
    DeploymentSpec {
        name: name.to_owned(),
        initial: Word::initial(Colour::Blue),
        services: vec![service],
        previews: Vec::new(),
    }
}

fn flow(port: u16, colour: Colour) -> FlowRow {
    FlowRow {
        client: ([198, 51, 100, 7], port).into(),
        protocol: Protocol::Tcp,
        frontend: ([192, 0, 2, 1], 80).into(),
        backend: ([10, 1, 1, 2], 8080).into(),
        deployment: "shop".to_owned(),
        service: "web".to_owned(),
        colour,
        state: FlowState::Established,
        idle: Duration::from_millis(1340),
        age: Duration::from_secs(60),
    }
}

impl Lab {
    /// With these deployments, and a daemon that serves them.
    async fn new(names: &[&str]) -> Self {
        let lab = Self::without_daemon(names);
        let (engine, handle) = Engine::alone(&lab.fake);
        tokio::spawn(engine.run());
        let link = AttachSpec { ifindex: 2, name: "eth0".to_owned(), side: Side::Uplink, hook: Hook::Tc };
        let plan = AttachPlan::new(Path::Stack, vec![link]);
        let specs = (1..).zip(names).map(|(third, name)| spec(name, third)).collect();
        handle.wire(plan, specs, Vec::new()).await.unwrap();
        let listening = Listening::bind(&lab.dir.path().join("bg.sock")).unwrap();
        let services = server::Services::without_journal(handle);
        tokio::spawn(server::serve(listening, services, std::future::pending()));
        lab
    }

    fn without_daemon(names: &[&str]) -> Self {
        let words: Vec<_> = names.iter().map(|name| (*name, Word::initial(Colour::Blue))).collect();
        let fake = Fake::with_words(&words);
        fake.state().flows = vec![flow(1, Colour::Blue), flow(2, Colour::Blue), flow(3, Colour::Green)];
        fake.state().reasons = vec![(Reason::NotIp, 4), (Reason::NoBackend, 0)];
        Self { fake, dir: tempfile::tempdir().unwrap() }
    }

    async fn run(&self, line: &str) -> Ran {
        self.run_on(line, false, &Pinned(Some(self.fake.clone()))).await
    }

    async fn run_on(&self, line: &str, colour: bool, kernel: &dyn Kernel) -> Ran {
        let [socket, config] = ["bg.sock", "bg.toml"].map(|name| self.dir.path().join(name));
        let words = ["bgctl", "--socket", socket.to_str().unwrap(), "--instance", "unit-test"];
        let cli = Cli::try_parse_from(words.into_iter().chain(line.split_whitespace())).unwrap();
        let cli = Cli { global: Global { config: cli.global.config.or(Some(config)), ..cli.global }, ..cli };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut env = Env {
            out: &mut out,
            err: &mut err,
            answers: &mut std::io::empty(),
            colour,
            width: None,
            asks: false,
            watched: false,
            now: &jiff::Timestamp::now,
            zone: jiff::tz::TimeZone::UTC,
            poll: Duration::from_millis(5),
            user: None,
            kernel,
            journals: &TheseFiles,
        };
        let code = run(cli, &mut env).await;
        Ran { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }

    async fn json(&self, line: &str) -> Value {
        let Ran { code, out, err } = self.run(&format!("{line} --json")).await;
        assert_eq!((code, err.as_str()), (0, ""), "{line}: {out}");
        serde_json::from_str(&out).unwrap()
    }
}

#[test]
fn the_command_line_is_consistent_and_its_help_has_every_exit_code() {
    Cli::command().debug_assert();
    let help = Cli::command().render_long_help().to_string();
    for code in
        ["0  done", "1  refused", "2  the command line", "3  the daemon", "4  doctor", "5  the time of"]
    {
        assert!(help.contains(code), "{help}");
    }
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    for line in ["switch --to red", "flows --limit many", "swtich", "config", "flows --colour 1"] {
        let error = Cli::try_parse_from(["bgctl"].into_iter().chain(line.split(' '))).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[tokio::test]
async fn a_switch_is_told_in_one_line() {
    let lab = Lab::new(&["shop"]).await;
    lab.run("status").await;
    let rows = [
        ("switch", "shop: blue → green  generation 1  (3 ns; 2 flows stay on blue)\n"),
        ("switch shop --to green", "shop: green is live already  generation 1\n"),
        ("rollback", "shop: green → blue  generation 2  (3 ns; 1 flow stays on green)\n"),
    ];
    for (line, expected) in rows {
        let Ran { code, out, err } = lab.run(line).await;
        assert_eq!((code, out.as_str(), err.as_str()), (0, expected, ""), "{line}");
    }
}

#[tokio::test]
async fn the_json_forms_have_the_promised_keys() {
    let lab = Lab::new(&["shop"]).await;
    let status = lab.json("status").await;
    let deployment = json!({
        "name": "shop", "live": "blue", "draining": false, "generation": 0, "open": {"blue": 2, "green": 1},
        "services": [{
            "name": "web", "protocol": "tcp", "frontends": ["192.0.2.1:80", "[2001:db8::10]:80"], "previews": [],
            "backends": {"blue": ["10.1.1.2:8080"], "green": ["10.2.1.2:8080", "10.3.1.2:8080"]},
        }],
    });
    let attachment =
        json!({"interface": "eth0", "ifindex": 2, "program": "bg_tc_ingress", "hook": "tcx-ingress"});
    let expected = json!({
        "instance": "lab", "daemon": true, "path": "stack", "deployments": [deployment], "attachments": [attachment],
    });
    let known = |value: &Value, expected: &Value| {
        let keys = expected.as_object().unwrap().keys();
        keys.map(|key| (key.clone(), value[key].clone())).collect::<serde_json::Map<_, _>>()
    };
    let mut found = known(&status, &expected);
    found["deployments"] = json!([known(&status["deployments"][0], &expected["deployments"][0])]);
    assert_eq!(Value::Object(found), expected);

    let switched = lab.json("switch shop --to green --reason because").await;
    let expected = json!({
        "deployment": "shop", "from": "blue", "to": "green", "generation": 1, "took_ns": 3, "already": false,
        "staying": 2,
    });
    assert_eq!(Value::Object(known(&switched, &expected)), expected);

    let flows = lab.json("flows shop --colour green --limit 1").await;
    assert_eq!((&flows["total"], &flows["flows"][0]["state"]), (&json!(1), &json!("established")));
    assert_eq!(flows["flows"][0]["idle_ms"], 1340);

    let counters = lab.json("counters").await;
    assert_eq!(counters["deployments"][0]["blue"]["packets_in"], 10);
    let reasons: Vec<_> =
        counters["reasons"].as_array().unwrap().iter().map(|reason| &reason["name"]).collect();
    assert_eq!(reasons, ["not-ip", "no-backend"]);
}

#[tokio::test]
async fn tables_show_what_a_person_looks_for() {
    let lab = Lab::new(&["api", "shop"]).await;
    lab.run("switch shop --to green").await;
    let rows: [(&str, &[&str]); 5] = [
        (
            "status",
            &["instance lab, daemon running", "shop        blue    standby  ", "2  drains", "shop/web"],
        ),
        ("status", &["tcp 192.0.2.2:80", "10.2.2.2:8080", "eth0", "tcx-ingress"]),
        (
            "flows --limit 2",
            &["198.51.100.7:1", "established", "1.3s", "1m\n", "… 2 of 3 flows: --limit 3 shows all"],
        ),
        ("counters", &["1.0 kB", "not-ip", "pass", "Neither IPv4 nor IPv6"]),
        ("counters --all", &["no-backend", "drop"]),
    ];
    for (line, words) in rows {
        let Ran { code, out, .. } = lab.run(line).await;
        assert_eq!(code, 0);
        assert!(words.iter().all(|word| out.contains(word)), "{line} lacks one of {words:?}:\n{out}");
        assert!(!out.contains('\x1b'), "colours where nobody asked for them: {out:?}");
        assert!(out.lines().all(|line| !line.ends_with(' ')), "blanks at the end of a line: {out:?}");
    }
    assert!(!lab.run("counters").await.out.contains("no-backend"), "reasons that never applied are left out");
}

#[tokio::test]
async fn colours_are_for_terminals() {
    let lab = Lab::new(&["shop"]).await;
    let kernel = Pinned(None);
    for line in ["status", "switch", "flows", "counters"] {
        let out = lab.run_on(line, true, &kernel).await.out;
        assert!(out.contains("\x1b["), "{line}: {out:?}");
    }
    assert!(!lab.run_on("status --json", true, &kernel).await.out.contains('\x1b'));
}

#[tokio::test]
async fn refusals_say_what_where_and_mend_and_decide_the_exit_code() {
    let lab = Lab::new(&["api", "shop"]).await;
    let rows = [
        ("switch", 1, "none was named", "api, shop"),
        ("switch shpo", 1, "no deployment \"shpo\"", "did you mean shop?"),
        ("rollback shop", 1, "never switched", "bgctl switch shop --to green"),
        ("flows nothing", 1, "no deployment \"nothing\"", "bgctl status"),
        ("status --socket /nonexistent/sock", 3, "not running", "systemctl start bgd"),
    ];
    for (line, expected, what, mend) in rows {
        let Ran { code, out, err } = lab.run(line).await;
        assert_eq!((code, out.as_str()), (expected, ""), "{line}: {err}");
        assert!(err.starts_with("bgctl: ") && err.contains("where: ") && err.contains("mend:  "), "{err}");
        assert!(err.contains(what) && err.contains(mend), "{line}: {err}");

        let Ran { code, out, err } = lab.run(&format!("{line} --json")).await;
        assert_eq!((code, out.as_str()), (expected, ""));
        let refusal: Refusal = serde_json::from_str(&err).unwrap();
        assert!(refusal.what.contains(what), "{refusal}");
    }
}

#[tokio::test]
async fn the_tables_can_be_read_and_switched_without_a_daemon() {
    let lab = Lab::without_daemon(&["shop"]);
    let config = "[gateway]\ninstance = \"unit-test\"\n[deployment.shop]\nblue = [\"10.1.0.2\"]\ngreen = [\"10.2.0.2\"]\n\
                  [deployment.shop.service.web]\nvips = [\"192.0.2.10\"]\nport = 80\n";
    std::fs::write(lab.dir.path().join("bg.toml"), config).unwrap();
    let switched = lab.json("--offline switch").await;
    assert_eq!((&switched["to"], &switched["generation"]), (&json!("green"), &json!(1)));
    assert_eq!(lab.fake.state().words["shop"].live(), Colour::Green);

    let status = lab.json("--offline status").await;
    assert_eq!((&status["daemon"], &status["path"]), (&json!(false), &Value::Null));
    assert_eq!(status["deployments"][0]["open"], json!({"blue": 2, "green": 1}));
    assert_eq!(status["deployments"][0]["services"][0]["backends"]["green"], json!(["10.2.0.2:80"]));

    assert_eq!(lab.json("--offline rollback shop").await["to"], "blue");
    assert_eq!(lab.json("--offline flows shop --colour blue").await["total"], 2);
    assert_eq!(lab.json("--offline counters").await["deployments"][0]["blue"]["packets_in"], 10);
    for line in ["--offline switch shpo", "--offline flows shpo"] {
        let Ran { code, err, .. } = lab.run(line).await;
        assert_eq!(code, 1, "{line}");
        assert!(err.contains("did you mean shop?"), "{line}: {err}");
    }
    let Ran { code, err, .. } = lab.run_on("--offline status", false, &Pinned(None)).await;
    assert_eq!(code, 1);
    assert!(err.contains("nothing is pinned"), "{err}");
}

#[tokio::test]
async fn a_detach_goes_by_the_daemon_or_without_it() {
    let lab = Lab::new(&["shop"]).await;
    let Ran { code, out, .. } = lab.run("detach").await;
    assert_eq!(
        (code, out.as_str()),
        (0, "eth0 tcx-ingress: bg_tc_ingress detached\ninstance unit-test: 3 pins removed\n")
    );
    assert!(lab.fake.state().detached);

    let lab = Lab::without_daemon(&["shop"]);
    let dead = lab.dir.path().join("bg.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let Ran { code, out, err } = lab.run("detach").await;
    assert_eq!((code, out.as_str(), err.as_str()), (0, "instance unit-test: 3 pins removed\n", ""));
    assert!(!dead.exists(), "the socket of a dead daemon is removed");
    let Ran { code, out, .. } = lab.run_on("detach", false, &Pinned(None)).await;
    assert_eq!((code, out.as_str()), (0, "there was nothing to take down\n"));
}

#[tokio::test]
async fn a_configuration_is_checked_without_a_daemon() {
    let lab = Lab::without_daemon(&[]);
    let path = lab.dir.path().join("bg.toml");
    let good = include_str!("../../dist/bg.example.toml");
    std::fs::write(&path, good).unwrap();
    let Ran { code, out, .. } = lab.run("config check").await;
    assert_eq!(code, 0);
    assert!(
        out.contains("is valid") && out.contains("1 deployment, 2 services, 3 frontends, 6 backends"),
        "{out}"
    );
    let report = lab.json("config check").await;
    assert_eq!((&report["valid"], &report["backends"]), (&json!(true), &json!(6)));

    let vip = "\nport = 80\npreview_vips = { \"192.0.2.99\" = \"other\" }\n";
    std::fs::write(&path, good.replacen("\nport = 80\n", vip, 1)).unwrap();
    let Ran { out, .. } = lab.run("config check").await;
    assert!(out.contains("2 services, 4 frontends"), "a VIP of previews is one: {out}");

    let more = "[deployment.shop.probe.page]\nkind = \"http\"\n[deployment.old]\nremove = true\n";
    std::fs::write(&path, format!("{good}\n{more}")).unwrap();
    let Ran { code, out, .. } = lab.run("config check").await;
    assert_eq!(code, 0);
    assert!(out.contains("6 backends, 1 probe, 0 hooks"), "{out}");
    assert!(out.contains("note: ") && out.contains("deployment old") && out.contains("mend: "), "{out}");
    let report = lab.json("config check").await;
    assert_eq!((&report["probes"], &report["problems"]), (&json!(1), &json!([])));
    assert_eq!(report["notes"].as_array().unwrap().len(), 1);

    std::fs::write(&path, good.replace("\nport = 80\n", "\nport = 0\n").replace("\"udp\"", "\"upd\""))
        .unwrap();
    let Ran { code, out, err } = lab.run(&format!("config check {}", path.display())).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(err.matches("bgctl: ").count(), 2, "every problem is told: {err}");
    let Ran { code, out, err } = lab.run("config check --json").await;
    assert_eq!((code, err.as_str()), (1, ""));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["valid"], report["problems"].as_array().unwrap().len()), (&json!(false), 2));
}

#[tokio::test]
async fn an_impossible_instance_is_refused_before_anything_is_opened() {
    let lab = Lab::without_daemon(&["shop"]);
    let Ran { code, err, .. } = lab.run("--offline status --instance ../x").await;
    assert_eq!(code, 1);
    assert!(err.contains("has a '.' in it"), "{err}");
}

#[test]
fn what_was_not_typed_comes_from_the_environment() {
    let variable = |name: &str| Some(OsString::from(format!("/from/{name}")));
    let typed = Global { config: Some("/typed".into()), ..Global::default() };
    let filled = typed.or_from(variable);
    assert_eq!(filled.config.as_deref(), Some("/typed".as_ref()));
    assert_eq!(filled.socket.as_deref(), Some("/from/BG_SOCKET".as_ref()));
    assert_eq!(filled.instance.as_deref(), Some("/from/BG_INSTANCE"));
    let empty = Global::default().or_from(|_| Some(OsString::new()));
    assert_eq!(empty, Global::default());
}
