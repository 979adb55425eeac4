use std::{fs, path::Path};

use hafleet_proto::v1;
use proptest::prelude::*;

use super::*;

fn order(id: &str, instances: &[&str], what: What) -> Order {
    Order {
        id: id.to_owned(),
        instances: instances.iter().map(|name| (*name).to_owned()).collect(),
        until_us: None,
        by: "coordinator".to_owned(),
        why: "test".to_owned(),
        what,
    }
}

fn take_over(id: &str, instances: &[&str], priority: u8) -> Order {
    order(id, instances, What::TakeOver { priority: Override::new(priority).unwrap() })
}

fn file(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("orders.json")
}

#[test]
fn orders_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut book = Book::open(dir.path());
    assert_eq!(book.standing(0), Standing::default());
    let mut until = take_over("switchover/1", &["VI_1"], 200);
    until.until_us = Some(1_000);
    let orders = Orders::default().with(order("fence/1", &[], What::Demote)).unwrap().with(until).unwrap();
    book.keep(orders.clone()).unwrap();
    let again = Book::open(dir.path());
    assert_eq!(again.orders(), &orders);
    assert_eq!(again.error(), None);
    assert!(again.standing(0).over("anything").is_held());
    assert_eq!(again.standing(999).over("VI_1").priority, Override::new(200));
    assert_eq!(again.standing(1_000).over("VI_1").priority, None, "its time is over");
    assert!(again.standing(i64::MAX).over("VI_1").is_held(), "a fence ends by withdrawal only");
    // The old file stays whole beside a new one that was never finished.
    fs::write(dir.path().join("orders.json.new"), b"{\"version\":1,").unwrap();
    assert_eq!(Book::open(dir.path()).orders(), &orders);
}

/// What an agent of today writes must be read by one of tomorrow.
#[test]
fn the_format_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"{
      "version": 1,
      "orders": [
        { "id": "fence/1", "instances": [], "until_us": null, "by": "auto", "why": "split", "what": { "what": "demote" } },
        { "id": "m", "instances": ["VI_1"], "until_us": 5, "by": "anna", "why": "", "what": { "what": "maintenance" } },
        { "id": "s", "instances": ["VI_2"], "until_us": null, "by": "anna", "why": "",
          "what": { "what": "take_over", "priority": 254 } }
      ]
    }"#;
    fs::write(file(dir.path()), text).unwrap();
    let mut book = Book::open(dir.path());
    assert_eq!(book.error(), None);
    let orders = book.orders().clone();
    assert_eq!(orders.find("s").unwrap().what, take_over("s", &[], 254).what);
    assert_eq!(orders.find("m").unwrap().until_us, Some(5));
    book.keep(orders.clone()).unwrap();
    assert_eq!(Book::open(dir.path()).orders(), &orders);
}

#[test]
fn a_file_that_cannot_be_read_holds_everything_back() {
    let empty = "{ \"version\": 1, \"orders\": [] }";
    let one = "{\"id\":\"a\",\"instances\":[],\"until_us\":null,\"by\":\"\",\"why\":\"\",\"what\":{\"what\":\"demote\"}}";
    let broken = [
        (String::new(), "EOF"),
        (empty.replace('1', "2"), "version 2"),
        (empty[..10].to_owned(), "EOF"),
        (empty.replace("orders", "order"), "unknown field `order`"),
        (
            empty.replace("[]", &format!("[{}]", one.replace("demote", "explode"))),
            "unknown variant `explode`",
        ),
        (
            empty
                .replace("[]", &format!("[{}]", one.replace("\"demote\"", "\"take_over\",\"priority\":255"))),
            "priority 255 is not 1 to 254",
        ),
        (empty.replace("[]", &format!("[{}]", vec![one; ORDERS_MAX + 1].join(","))), "has 65 orders"),
        (" ".repeat(2 << 20), "longer than 1048576 bytes"),
    ];
    for (text, why) in broken {
        let dir = tempfile::tempdir().unwrap();
        fs::write(file(dir.path()), &text).unwrap();
        let mut book = Book::open(dir.path());
        let error = book.error().unwrap();
        assert!(error.contains(why) && error.contains("SIGHUP"), "{error}");
        assert!(book.standing(0).over("VI_1").is_held(), "{why}");
        // It is left as it is for whoever looks at it, whatever a coordinator asks for.
        let refused = book.keep(Orders::default()).unwrap_err();
        assert!(matches!(refused, BookError::Unreadable { .. }), "{refused:?}");
        assert_eq!(fs::read_to_string(file(dir.path())).unwrap(), text);
        assert!(!book.look_again());
        fs::remove_file(file(dir.path())).unwrap();
        assert!(book.look_again());
        assert_eq!((book.standing(0), book.error()), (Standing::default(), None));
    }
    // A directory cannot be read either.
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(file(dir.path())).unwrap();
    assert!(Book::open(dir.path()).standing(0).all.is_held());
}

#[test]
fn a_disk_that_refuses_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut book = Book::open(&dir.path().join("not there"));
    let orders = Orders::default().with(order("fence/1", &[], What::Demote)).unwrap();
    let error = crate::log::chain(&book.keep(orders).unwrap_err());
    assert!(error.contains("cannot create") && error.contains("orders.json"), "{error}");
    assert_eq!(book.standing(0), Standing::default());
}

#[test]
fn orders_add_up() {
    let orders = [
        take_over("s1", &["VI_1"], 150),
        take_over("s2", &[], 160),
        take_over("s3", &["VI_1"], 170),
        order("m", &["VI_2"], What::Maintenance),
    ];
    let orders = orders.into_iter().fold(Orders::default(), |orders, order| orders.with(order).unwrap());
    let over = |orders: &Orders, name: &str| orders.standing().over(name);
    let by = |id: &str| format!("{id} (take_over) by coordinator: test");
    let taken = |priority, id: &str| Stand {
        priority: Override::new(priority),
        priority_by: by(id),
        ..Stand::default()
    };
    assert_eq!(over(&orders, "VI_1"), taken(170, "s3"));
    let held_by = "m (maintenance) by coordinator: test".to_owned();
    assert_eq!(over(&orders, "VI_2"), Stand { in_maintenance: true, held_by, ..taken(160, "s2") });
    assert_eq!(over(&orders, "VI_3"), taken(160, "s2"));
    // A fence beside a maintenance is both, and says so.
    let fenced = over(&orders.with(order("fence/1", &[], What::Demote)).unwrap(), "VI_2");
    assert!(fenced.fenced && fenced.in_maintenance && fenced.is_held());
    assert_eq!(fenced.held_by, "fence/1 (demote) by coordinator: test; m (maintenance) by coordinator: test");
    assert_eq!(over(&orders.without("s3"), "VI_1").priority, Override::new(150));
    // The same once more is the same; another one of its id replaces it.
    assert_eq!(orders.with(order("m", &["VI_2"], What::Maintenance)).unwrap(), orders);
    let replaced = orders.with(order("m", &["VI_3"], What::Maintenance)).unwrap();
    assert!(!over(&replaced, "VI_2").is_held() && over(&replaced, "VI_3").is_held());
}

/// However much there is to say, what a transition tells has a bound.
#[test]
fn the_words_of_many_orders_are_cut() {
    let long = |number: usize| Order {
        why: "\u{e4}".repeat(500),
        ..order(&format!("fence/{number}"), &["VI_1"], What::Demote)
    };
    let orders = (0..ORDERS_MAX).fold(Orders::default(), |orders, number| orders.with(long(number)).unwrap());
    let stand = orders.standing().over("VI_1");
    assert!(stand.fenced && (400..=512).contains(&stand.held_by.len()), "{}", stand.held_by.len());
    let said = Order { by: String::new(), why: String::new(), ..long(7) };
    assert_eq!(said.words(), "fence/7 (demote)");
}

/// However many switchovers stand, maintenance finds a place, and a fence does after that.
#[test]
fn no_more_than_the_bound_stand() {
    let mut orders = Orders::default();
    let switchover = What::TakeOver { priority: Override::new(200).unwrap() };
    let mut count = 0;
    for (what, places) in [(switchover, 48), (What::Maintenance, 56), (What::Demote, ORDERS_MAX)] {
        while let Some(more) = orders.with(order(&count.to_string(), &[], what)) {
            orders = more;
            count += 1;
        }
        assert_eq!((count, orders.all().len()), (places, places), "{what:?}");
        assert!(orders.with(order("one more", &[], switchover)).is_none());
    }
    assert!(orders.with(order("0", &[], switchover)).is_some(), "one that it replaces makes room");
}

fn wire(what: v1::order::Order) -> v1::Order {
    v1::Order {
        id: "fence/1".to_owned(),
        instances: vec!["VI_1".to_owned()],
        until_us: 0,
        by: "auto".to_owned(),
        why: "split brain".to_owned(),
        order: Some(what),
    }
}

#[test]
fn what_cannot_be_is_refused_at_the_border() {
    let demote = || wire(v1::order::Order::Demote(v1::Demote {}));
    let take_over = |priority| wire(v1::order::Order::TakeOver(v1::TakeOver { priority }));
    let refused = |wire: v1::Order| Order::try_from(wire).unwrap_err();
    assert!(Order::try_from(demote()).is_ok());
    assert_eq!(refused(v1::Order { until_us: 1, ..demote() }), Invalid::DemoteUntil);
    assert_eq!(refused(v1::Order { order: None, ..demote() }), Invalid::Unknown);
    assert_eq!(refused(v1::Order { id: String::new(), ..demote() }), Invalid::Name { field: "id" });
    assert_eq!(refused(v1::Order { id: "a\nb".to_owned(), ..demote() }), Invalid::Name { field: "id" });
    assert_eq!(refused(v1::Order { why: "x".repeat(1025), ..demote() }), Invalid::Text { field: "why" });
    assert_eq!(
        refused(v1::Order { instances: vec!["a".to_owned(); 256], ..demote() }),
        Invalid::Instances { count: 256 }
    );
    for priority in [0, 255, 256, u32::MAX] {
        assert_eq!(refused(take_over(priority)), Invalid::Priority { priority });
    }
    assert_eq!(refused(v1::Order { until_us: -1, ..take_over(5) }), Invalid::Until { until_us: -1 });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What is taken comes back from the disk and goes out on the wire as it came.
    #[test]
    fn what_is_taken_is_told_alike(
        id in "[a-z/0-9]{1,20}",
        instances in prop::collection::vec("[A-Z_0-9]{1,9}", 0..4),
        until_us in prop::sample::select(vec![0_i64, 1, i64::MAX]),
        priority in 1..255_u32,
    ) {
        let what = v1::order::Order::TakeOver(v1::TakeOver { priority });
        let wire = v1::Order { id, instances, until_us, ..wire(what) };
        let order = Order::try_from(wire.clone()).unwrap();
        let kept: Order = serde_json::from_slice(&serde_json::to_vec(&order).unwrap()).unwrap();
        prop_assert_eq!(to_wire(&kept), wire);
    }
}
