//! People and roles.

use ha_coordinator::store::{Role, UserRow};

use super::fixture::{Fixture, T0};

fn user(name: &str, role: Role) -> UserRow {
    UserRow { name: name.into(), role, created_at_us: T0, revoked: false }
}

pub async fn upsert(fixture: Fixture) {
    assert_eq!(fixture.store.user("ann").await.unwrap(), None);
    fixture.store.save_user(&user("ann", Role::Viewer)).await.unwrap();
    assert_eq!(fixture.store.user("ann").await.unwrap(), Some(user("ann", Role::Viewer)));
    let changed = UserRow { created_at_us: T0 + 9, revoked: true, ..user("ann", Role::Admin) };
    fixture.store.save_user(&changed).await.unwrap();
    assert_eq!(fixture.store.user("ann").await.unwrap(), Some(UserRow { created_at_us: T0, ..changed }));
    assert_eq!(
        fixture.store.user("Ann").await.unwrap(),
        None,
        "names are told apart by case on both engines"
    );
}

pub async fn every_role(fixture: Fixture) {
    assert_eq!(Role::ALL.len(), 4);
    for &role in Role::ALL {
        let name = role.as_str();
        fixture.store.save_user(&user(name, role)).await.unwrap();
        assert_eq!(fixture.store.user(name).await.unwrap(), Some(user(name, role)));
    }
}
