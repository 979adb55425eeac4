//! What stands over the configuration: overrides, taking over, and two causes of holding back.

use super::*;

fn over(priority: u8) -> Input<'static> {
    Input::Override(Some(Override::new(priority).unwrap()))
}

#[test]
fn an_override_is_1_to_254() {
    assert_eq!((Override::new(0), Override::new(255)), (None, None));
    assert_eq!(Override::new(254).unwrap().priority().get(), 254);
}

/// Make before break: our advert is out before our addresses are up, and whoever hears it lets go.
#[test]
fn a_take_over_makes_before_the_other_breaks() {
    let mut old = Rig::master(with_priority(150));
    let mut new = Rig::started(Config { preempt: false, ..config() });
    new.hear(ABOVE, 150);
    assert_eq!(new.give(over(200)), [""; 0]);
    let outputs = new.give(Input::TakeOver);
    assert_eq!(outputs, ["advert 200", "hold 2", "announce 2x5", "BACKUP>MASTER took_over"]);
    assert_eq!(old.hear(ABOVE, 200), ["release 2", "MASTER>BACKUP higher_priority_heard"]);
    // And it goes on with that priority.
    assert_eq!(new.run_to_deadline()[0], "advert 200");
    assert_eq!(new.hear(BELOW, 150)[0], "advert 200");
}

#[test]
fn nothing_is_taken_from_who_would_not_yield() {
    for theirs in [100, 150, 255] {
        let mut rig = Rig::started(config());
        rig.hear(ABOVE, theirs);
        assert_eq!(rig.give(Input::TakeOver), [""; 0], "from {theirs}");
        assert_eq!(rig.router.state(), State::Backup);
    }
    // The highest there is does not take from an owner either.
    let mut rig = Rig::started(config());
    rig.hear(ABOVE, 255);
    rig.give(over(254));
    assert_eq!(rig.give(Input::TakeOver), [""; 0]);
    // Who has resigned does not stand in the way.
    rig.hear(ABOVE, 0);
    assert_eq!(rig.give(Input::TakeOver).last().unwrap(), "BACKUP>MASTER took_over");
}

#[test]
fn an_owner_keeps_its_priority() {
    let mut rig = Rig::started(Config { priority: Priority::OWNER, ..config() });
    assert_eq!(rig.give(over(50)), [""; 0]);
    assert_eq!(rig.router.effective_priority(), 255);
    // It counts from the moment it is none.
    assert_eq!(rig.give(Input::Reconfigure(config())), ["advert 50"]);
}

#[test]
fn an_override_outlives_every_state_and_configuration() {
    let mut rig = Rig::new(config());
    rig.give(over(200));
    rig.give(Input::Start { adopt: false });
    assert_eq!(rig.left(), timers::master_down(Version::V3, 200, 100).max(SECOND * 3));
    rig.give(Input::LinkDown { path: PathId::SERVICE, fault: LinkFault::NoCarrier });
    rig.give(Input::LinkUp { path: PathId::SERVICE, source: ip(OURS) });
    assert_eq!(rig.router.effective_priority(), 200);
    rig.give(Input::Reconfigure(with_priority(120)));
    assert_eq!(rig.router.effective_priority(), 200);
    rig.give(Input::Override(None));
    assert_eq!(rig.router.effective_priority(), 120);
}

/// The timer of a BACKUP keeps what it has waited for.
#[test]
fn an_override_shifts_the_timer_of_a_backup() {
    let mut rig = Rig::started(config());
    rig.hear(ABOVE, 250);
    rig.wait(SECOND);
    let before = rig.left();
    rig.give(over(200));
    let skews = |priority| timers::skew(Version::V3, priority, 100);
    assert_eq!(rig.left(), before - (skews(100) - skews(200)));
}

/// A take-over that comes when nothing can be taken changes nothing, then or later.
#[test]
fn a_take_over_is_not_remembered() {
    let mut rig = Rig::new(config());
    assert_eq!(rig.give(Input::TakeOver), [""; 0]);
    assert_eq!(rig.give(Input::Start { adopt: false }), ["INIT>BACKUP started"]);
    rig.give(Input::Hold(HoldCause::Fence));
    assert_eq!(rig.give(Input::TakeOver), [""; 0]);
    assert_eq!(rig.give(Input::Unhold(HoldCause::Fence)), ["FAULT>BACKUP unheld"]);
}

/// Who is held back before the start never serves, whatever it finds on the host.
#[test]
fn who_is_held_back_before_the_start_never_serves() {
    for adopt in [false, true] {
        let causes = [HoldCause::Fence, HoldCause::Maintenance, HoldCause::Isolation];
        for (cause, code) in causes.into_iter().zip(["held", "held", "isolated"]) {
            let mut rig = Rig::new(config());
            rig.give(Input::Hold(cause));
            let outputs = rig.give(Input::Start { adopt });
            let expected = format!("INIT>FAULT {code}");
            assert_eq!(outputs.last(), Some(&expected));
            assert_eq!(outputs.len(), 1 + usize::from(adopt), "what was left there is taken off");
            assert_eq!(rig.router.deadline(), None);
        }
    }
}

#[test]
fn each_cause_ends_by_itself() {
    let mut rig = Rig::master(config());
    rig.give(Input::Hold(HoldCause::Isolation));
    assert_eq!(rig.give(Input::Hold(HoldCause::Fence)), [""; 0]);
    assert_eq!(rig.give(Input::Unhold(HoldCause::Isolation)), [""; 0]);
    assert!(rig.router.is_held_for(HoldCause::Fence) && rig.router.is_held_back());
    assert_eq!(rig.give(Input::Unhold(HoldCause::Fence)), ["FAULT>BACKUP unheld"]);
    rig.give(Input::Hold(HoldCause::Fence));
    rig.give(Input::Hold(HoldCause::Isolation));
    assert_eq!(rig.give(Input::Unhold(HoldCause::Fence)), [""; 0]);
    assert_eq!(rig.give(Input::Unhold(HoldCause::Isolation)), ["FAULT>BACKUP reconnected"]);
    rig.give(Input::Hold(HoldCause::Maintenance));
    rig.give(Input::Hold(HoldCause::Fence));
    assert_eq!(rig.give(Input::Unhold(HoldCause::Maintenance)), [""; 0]);
    assert_eq!(rig.give(Input::Unhold(HoldCause::Fence)), ["FAULT>BACKUP unheld"]);
}

/// The order to take over from a MASTER that is not heard says so.
#[test]
fn the_reason_names_whom_it_was_taken_from() {
    let mut rig = Rig::started(config());
    rig.hear(BELOW, 99);
    rig.router.handle(Input::TakeOver, rig.now);
    let reason = rig.drain().into_iter().find_map(|output| match output {
        Output::Transition(transition) => Some(transition.reason),
        Output::SendAdvertisement { .. }
        | Output::HoldAddresses(_)
        | Output::ReleaseAddresses(_)
        | Output::Announce(_) => None,
    });
    assert_eq!(reason, Some(Reason::TookOver { from: Some(ip(BELOW)), ours: 100 }));
    assert_eq!(reason.unwrap().to_string(), "ordered to take over from 10.77.0.4, with priority 100");
}
