//! What the nouns show, to the letter.

use super::Ran;
use super::desk::{BLUE, Desk, GREEN, busy, idle, passive, plan, probe, shut, switched};
use crate::api::protocol::{
    Busy, ByColour, Deployment, DeploymentDrift, DeploymentHealth, Drift, FlowSummary, Flows, Freeze, Health,
    Override, PassiveVerdict, Plan, ProbeVerdict, RollbackAnswer, SliceStatus, Truths, VipFlows,
};
use crate::model::order::Done;
use serde_json::json;

const PLAN: &str = "\
shop: blue (1.3) → green (1.4)  plan 7.3f2a

COLOUR  ROLE     VERSION  HEALTH
blue    live     1.3      healthy
green   standby  1.4      healthy

flows  812 open flows on blue stay until they end, the oldest 2h 3m old
then   green is watched for 5m, and the switch taken back if it fails

PROBE  TARGET          VERDICT   SINCE  WHY
web    green 10.2.0.3  DOWN     3m 20s  connection refused by 10.2.0.3:8080
web    green 10.2.0.2  up       3m 20s

TRAFFIC  FLOWS  HANDSHAKES  ANSWERED  REFUSED  RESETS  VERDICT
blue      1010        1000       998        1       2  good

GATE          WHAT IT FOUND
frozen  open  it is not frozen
health  open  green (1.4) is healthy: 2 of 2 up

nothing would refuse it: bgctl switch shop --plan 7.3f2a
";

#[tokio::test]
async fn a_plan_says_what_would_happen_and_the_line_that_makes_it_so() {
    let desk = Desk::new();
    desk.script.lines().plan = Some(plan());
    desk.prints("plan shop --to green", PLAN).await;
    assert_eq!(desk.json("plan").await, (0, serde_json::to_value(plan()).unwrap()));
}

#[tokio::test]
async fn a_plan_that_would_be_refused_says_by_whom_and_ends_with_1() {
    let ask = shut("confirmation", "a person has to agree", "switch with --yes");
    let bad = shut("passive", "7 of 100 were refused", "find out why, or: --force=passive");
    let never =
        crate::api::protocol::Gate { forcible: false, ..shut("word", "it makes no sense", "bgctl detach") };
    let rows = [
        (
            vec![ask.clone()],
            "GATE                WHAT IT FOUND\n\
             confirmation  SHUT  a person has to agree\n\
             \x20                   mend: switch with --yes\n\n\
             a person has to agree: bgctl switch shop --plan 7.3f2a --yes\n",
        ),
        (
            vec![bad, ask],
            "GATE                WHAT IT FOUND\n\
             passive       SHUT  7 of 100 were refused\n\
             \x20                   mend: find out why, or: --force=passive\n\
             confirmation  SHUT  a person has to agree\n\
             \x20                   mend: switch with --yes\n\n\
             2 gates would refuse it, the first one first\n",
        ),
        (
            vec![never],
            "GATE        WHAT IT FOUND\n\
             word  SHUT  it makes no sense\n\
             \x20           mend: bgctl detach\n\
             \x20           --force does not open it\n\n\
             1 gate would refuse it\n",
        ),
    ];
    for (gates, expected) in rows {
        let desk = Desk::new();
        desk.script.lines().plan = Some(Plan { gates, ..plan() });
        let ran = desk.run("plan").await;
        assert_eq!((ran.code, ran.err.as_str()), (1, ""));
        assert!(ran.out.ends_with(expected), "{}", ran.out);
        assert_eq!(desk.json("plan").await.0, 1);
    }
}

const BUSY: &str = "\
instance lab, daemon running, packets are redirected

DEPLOYMENT  COLOUR  ROLE     VERSION  HEALTH      UP  FLOWS  STATE
shop        blue    standby  1.3      healthy    3/3    640  drains
            green   live     1.4      UNHEALTHY  1/3   1034  unconfirmed

shop  last switch blue (1.3) → green (1.4) at 09:59, generation 8
      rollback: possible to blue (1.3) until 2026-11-25 10:00
      green is unhealthy: 1 of 3 machines are up
      green is watched for 4m 12s more, and the switch taken back if it fails
      the switch goes back in 1m 12s unless: bgctl confirm shop
      blue drains for 48s: 640 flows, the oldest 2h 3m old; those that are left are reset in 9m 12s
";

#[tokio::test]
async fn the_status_shows_the_slices_and_what_is_out_of_the_ordinary() {
    let desk = Desk::new();
    desk.script.lines().statuses = [vec![busy()]].into();
    desk.prints("status", BUSY).await;
    let (_, status) = desk.json("status").await;
    let shop = &status["deployments"][0];
    assert_eq!(
        shop["slices"]["green"],
        json!({
            "role": "live", "version": "1.4", "identity": 3, "healthy": false, "why": "1 of 3 machines are up",
            "up": 1, "targets": 3,
        })
    );
    assert_eq!((&shop["drain"]["open"], &shop["last_switch"]["to"]), (&json!(640), &json!("green")));
}

#[tokio::test]
async fn each_thing_that_is_out_of_the_ordinary_has_its_line() {
    let freeze = |automatic| Freeze { why: "sale\nuntil Monday".to_owned(), since: 1_795_478_400, automatic };
    let no = RollbackAnswer {
        possible: false,
        to: None,
        version: None,
        why_not: Some("blue held 1.3, and 1.5 was staged over it".to_owned()),
        mend: Some("bgctl switch shop --to blue".to_owned()),
        until: None,
    };
    let plain = Deployment { last_switch: None, rollback: None, slices: ByColour::default(), ..idle() };
    let overruled = Override { colour: GREEN, backend: Some([10, 2, 0, 2].into()), up: false };
    let rows = [
        (
            Deployment { rollback: Some(no), ..plain.clone() },
            "rollback: not possible: blue held 1.3, and 1.5 was staged over it; mend: bgctl switch shop --to blue",
        ),
        (
            Deployment { frozen: Some(freeze(false)), ..plain.clone() },
            "frozen since 01:00: sale\\nuntil Monday; to go on: bgctl unfreeze shop",
        ),
        (
            Deployment { frozen: Some(freeze(true)), ..plain.clone() },
            "frozen since 01:00 by bg itself: sale\\nuntil Monday; to go on: bgctl unfreeze shop",
        ),
        (
            Deployment { paused: true, paused_left_s: Some(12), ..plain.clone() },
            "new flows are held for 12s more; at once: bgctl resume shop",
        ),
        (Deployment { paused: true, ..plain.clone() }, "new flows are held; at once: bgctl resume shop"),
        (
            Deployment { overrides: vec![overruled], ..plain.clone() },
            "green 10.2.0.2 is down by order, whatever probes say; until: bgctl health auto shop --colour green \
             --backend 10.2.0.2",
        ),
        (
            Deployment { doubt: Some("entry 7: it is missing".to_owned()), ..plain.clone() },
            "DOUBTFUL roles and versions: entry 7: it is missing; mend: bgctl history --verify, then bgctl stage",
        ),
        (Deployment { under_way: Some("a drill".to_owned()), ..plain.clone() }, "under way: a drill"),
        (Deployment { drill_in_s: Some(90_000), ..plain.clone() }, "the next drill is in 1d 1h"),
        (
            Deployment { drift: Some("green is live, and blue was ordered".to_owned()), ..plain.clone() },
            "drift: green is live, and blue was ordered; see: bgctl drift shop",
        ),
    ];
    for (deployment, fact) in rows {
        let desk = Desk::new();
        desk.script.lines().statuses = [vec![deployment]].into();
        let out = desk.run("status").await.out;
        assert_eq!(out.lines().last(), Some(format!("shop  {fact}").as_str()), "{out}");
    }
    let desk = Desk::new();
    desk.script.lines().statuses = [vec![plain]].into();
    desk.prints(
        "status",
        "instance lab, daemon running, packets are redirected\n\n\
         DEPLOYMENT  COLOUR  ROLE  VERSION  HEALTH  UP  FLOWS  STATE\n\
         shop        blue    -     -        -        -      0\n\
         \x20           green   live  -        -        -   1034\n",
    )
    .await;
}

#[tokio::test]
async fn a_drain_is_shown_with_its_likely_end() {
    let desk = Desk::new();
    let mut fast = busy();
    fast.name = "api".to_owned();
    fast.drain.as_mut().unwrap().open = Some(8);
    desk.script.lines().statuses = [vec![fast, busy(), idle()]].into();
    let expected = "\
api   blue drains for 48s: 8 flows, the oldest 2h 3m old; those that are left are reset in 9m 12s; likely over in 22s
shop  blue drains for 48s: 640 flows, the oldest 2h 3m old; those that are left are reset in 9m 12s
";
    desk.prints("drain", expected).await;
    let (_, drains) = desk.json("drain api").await;
    assert_eq!(
        drains,
        json!([{
            "deployment": "api", "colour": "blue", "open": 8, "oldest_s": 7432, "since_s": 48, "deadline_s": 552,
            "fate": "keep", "fate_then": "reset", "end_in_s": 22,
        }])
    );
    desk.script.lines().statuses = [vec![idle()]].into();
    desk.prints("drain shop", "nothing drains\n").await;
    let ran = desk.run("drain shpo").await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("no deployment \"shpo\"") && ran.err.contains("deployments: shop"),
        "{}",
        ran.err
    );
}

fn health() -> DeploymentHealth {
    let unknown = ProbeVerdict { up: None, since_s: None, ..probe(BLUE, 4, true) };
    let vip = ProbeVerdict { probe: "front".to_owned(), colour: None, address: None, ..unknown.clone() };
    let forced = ProbeVerdict { overridden: true, ..probe(BLUE, 5, true) };
    let bad = PassiveVerdict { good: Some(false), refused: 70, ..passive() };
    let Deployment { slices, .. } = busy();
    DeploymentHealth {
        name: "shop".to_owned(),
        live: GREEN,
        slices,
        probes: vec![probe(GREEN, 2, true), probe(GREEN, 3, false), unknown, vip, forced],
        passive: ByColour { blue: None, green: Some(bad) },
        overrides: vec![Override { colour: BLUE, backend: None, up: true }],
    }
}

const HEALTH: &str = "\
DEPLOYMENT  COLOUR  ROLE     VERSION  HEALTH      UP  WHY
shop        blue    standby  1.3      healthy    3/3  3 of 3 machines are up
            green   live     1.4      UNHEALTHY  1/3  1 of 3 machines are up

PROBE  TARGET          VERDICT       SINCE  WHY
web    green 10.2.0.3  DOWN         3m 20s  connection refused by 10.2.0.3:8080
web    blue 10.2.0.4   unknown
front  VIP             unknown
web    green 10.2.0.2  up           3m 20s
web    blue 10.2.0.5   up by order  3m 20s

TRAFFIC  FLOWS  HANDSHAKES  ANSWERED  REFUSED  RESETS  VERDICT
green     1010        1000       998       70       2  BAD

overruled  blue is up by order, whatever probes say; until: bgctl health auto shop --colour blue
";

#[tokio::test]
async fn health_is_shown_the_bad_first() {
    let desk = Desk::new();
    desk.script.lines().health = Health { deployments: vec![health()] };
    desk.prints("health", HEALTH).await;
    let (code, said) = desk.json("health shop").await;
    assert_eq!((code, &said["deployments"][0]["probes"][1]["up"]), (0, &json!(false)));

    let other = DeploymentHealth { name: "api".to_owned(), ..health() };
    desk.script.lines().health = Health { deployments: vec![other, health()] };
    let out = desk.run("health").await.out;
    assert!(
        out.contains("\nDEPLOYMENT  PROBE  TARGET") && out.contains("\napi         web    green"),
        "{out}"
    );

    let many = (0..30).map(|last| probe(GREEN, last, last != 7)).collect();
    desk.script.lines().health = Health { deployments: vec![DeploymentHealth { probes: many, ..health() }] };
    let out = desk.run("health").await.out;
    assert!(
        out.contains("10.2.0.7  DOWN") && out.contains("… and 29 that are up: --json shows all"),
        "{out}"
    );
    assert!(!out.contains("10.2.0.8"), "{out}");
}

#[tokio::test]
async fn the_four_truths_stand_side_by_side() {
    let live = |differs| Truths {
        about: "live".to_owned(),
        intent: None,
        admin: Some("blue".to_owned()),
        observed: Some("green".to_owned()),
        kernel: Some("green".to_owned()),
        differs,
        why: differs.then(|| "somebody switched past bg".to_owned()),
        mend: differs.then(|| "bgctl switch shop --to blue".to_owned()),
    };
    let ring = Truths {
        about: "backends of blue".to_owned(),
        intent: Some("2".to_owned()),
        kernel: Some("2".to_owned()),
        ..Truths::default()
    };
    let drift = |differs| Drift {
        differs,
        deployments: vec![DeploymentDrift {
            name: "shop".to_owned(),
            rows: vec![live(differs), ring.clone()],
        }],
    };
    let rows = [
        (
            true,
            1,
            "DEPLOYMENT           MATTER            INTENT  ADMIN  OBSERVED  KERNEL\n\
             shop        DIFFERS  live              -       blue   green     green\n\
             \x20                    backends of blue  2       -      -         2\n\n\
             shop  somebody switched past bg; mend: bgctl switch shop --to blue\n",
        ),
        (
            false,
            0,
            "DEPLOYMENT     MATTER            INTENT  ADMIN  OBSERVED  KERNEL\n\
             shop           live              -       blue   green     green\n\
             \x20              backends of blue  2       -      -         2\n\n\
             nothing differs\n",
        ),
    ];
    for (differs, code, expected) in rows {
        let desk = Desk::new();
        desk.script.lines().drift = drift(differs);
        desk.ends("drift shop", code, expected, "").await;
        assert_eq!(desk.json("drift").await, (code, serde_json::to_value(drift(differs)).unwrap()));
    }
}

#[tokio::test]
async fn flows_are_added_up_by_colour_and_address() {
    let vip = |colour, open, top: &[(u8, u64)]| VipFlows {
        deployment: "shop".to_owned(),
        vip: [192, 0, 2, 10].into(),
        colour,
        open,
        oldest_ms: Some(7_384_000),
        clients: 40,
        top: top
            .iter()
            .map(|(last, open)| Busy { client: [198, 51, 100, *last].into(), open: *open })
            .collect(),
    };
    let summary = FlowSummary { vips: vec![vip(BLUE, 640, &[(7, 400), (8, 12)]), vip(GREEN, 3, &[])] };
    let desk = Desk::new();
    desk.script.lines().flows = Flows { total: 643, flows: Vec::new(), summary: Some(summary) };
    let expected = "\
DEPLOYMENT  VIP         COLOUR  OPEN  OLDEST  CLIENTS  MOST FROM
shop        192.0.2.10  blue     640   2h 3m       40  198.51.100.7 (400), 198.51.100.8 (12)
            192.0.2.10  green      3   2h 3m       40
";
    desk.prints("flows --summary", expected).await;
    desk.script.lines().flows.summary = Some(FlowSummary::default());
    desk.prints("flows shop --summary", "no open flows\n").await;
}

#[tokio::test]
async fn everything_that_is_prose_fits_a_terminal() {
    let mut desk = Desk::new();
    desk.width = Some(80);
    {
        let mut lines = desk.script.lines();
        let long = "7 of 100 handshakes were refused within the last ten minutes, and five flows were reset";
        let mut plan = plan();
        plan.gates.push(shut("passive", long, "find out why, or switch all the same: --force=passive"));
        lines.plan = Some(plan);
        let why = Some(long.to_owned());
        let slices = ByColour { blue: SliceStatus { why, ..busy().slices.blue }, green: busy().slices.green };
        let frozen = Some(Freeze { why: long.to_owned(), since: 0, automatic: true });
        lines.statuses = [vec![Deployment { frozen, slices: slices.clone(), ..busy() }]].into();
        lines.health = Health { deployments: vec![DeploymentHealth { slices, ..health() }] };
    }
    desk.person = Some("");
    desk.script.lines().drift = Drift {
        differs: true,
        deployments: vec![DeploymentDrift {
            name: "shop".to_owned(),
            rows: vec![Truths {
                about: "backends of green".to_owned(),
                intent: Some("10.2.0.2, 10.2.0.3".to_owned()),
                observed: Some("10.2.0.3 is down since 09:12".to_owned()),
                kernel: Some("10.2.0.2".to_owned()),
                ..Truths::default()
            }],
        }],
    };
    for line in ["plan", "status", "health", "drain", "drift", "status --socket /nonexistent/socket"] {
        let Ran { out, err, .. } = desk.run(line).await;
        let out = out + &err;
        let widest = out.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(widest.chars().count() <= 80, "{line}: {widest:?}\n{out}");
    }
}

#[tokio::test]
async fn a_line_breaks_where_the_terminal_ends_and_not_before() {
    let rows = [
        (78, "shop: blue (1.3) → green (1.4)  generation 8  (661 ns; 812 flows stay on blue)\n"),
        (77, "shop: blue (1.3) → green (1.4)  generation 8  (661 ns; 812 flows stay on\nblue)\n"),
    ];
    for (width, expected) in rows {
        let mut desk = Desk::answering([Ok(Done::Switched(switched()))]);
        (desk.width, desk.colour) = (Some(width), true);
        let out = desk.run("switch").await.out;
        let shades = ["\x1b[94m", "\x1b[92m", "\x1b[0m"];
        let bare = shades.iter().fold(out, |out, shade| out.replace(shade, ""));
        assert!(bare.starts_with(expected), "{width}: {bare}");
    }
}

#[tokio::test]
async fn what_is_over_or_not_known_yet_is_not_shown_as_trouble() {
    let mut shop = busy();
    shop.open.blue = 0;
    shop.drain.as_mut().unwrap().open = Some(0);
    let slice = &mut shop.slices.green;
    (slice.healthy, slice.why, slice.up, slice.targets) = (None, None, 0, 1);
    let desk = Desk::new();
    desk.script.lines().statuses = [vec![shop]].into();
    let out = desk.run("status").await.out;
    assert!(!out.contains("drains") && out.contains("?/1"), "{out}");
}

#[tokio::test]
async fn a_file_that_misses_what_the_daemon_serves_is_not_called_valid() {
    let desk = Desk::new();
    desk.script.lines().statuses = [vec![busy()]].into();
    let file = |instance: &str, more: &str| {
        format!(
            "[gateway]\ninstance = \"{instance}\"\nuplinks = [\"up0\"]\n[deployment.blog]\nblue = [\"10.1.0.9\"]\n\
             green = [\"10.2.0.9\"]\n[deployment.blog.service.web]\nvips = [\"192.0.2.9\"]\nport = 80\n{more}"
        )
    };
    desk.configure(&file("lab", ""));
    let ran = desk.run("config check").await;
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.err.contains("the deployment shop would be removed"), "{}", ran.err);
    desk.configure(&file("lab", "[deployment.shop]\nremove = true\n"));
    assert_eq!(desk.run("config check").await.code, 0);
    // Another gateway's file is none of this daemon's business.
    desk.configure(&file("other", ""));
    assert_eq!(desk.run("config check").await.code, 0);
}
