//! People and roles.

use ha_coordinator::store::{AddUser, CredentialKind, CredentialRow, RevokeUser, Role, TokenBearer, UserRow};

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

fn token(id: &str, user_name: &str) -> CredentialRow {
    CredentialRow {
        id: id.into(),
        user_name: user_name.into(),
        kind: CredentialKind::Token,
        created_by: "user/admin".into(),
        created_at_us: T0,
        expires_at_us: T0 + 100,
    }
}

fn hash() -> String {
    "a".repeat(64)
}

async fn add(fixture: &Fixture, role: Role, change_role: bool, id: &str, name: &str) -> AddUser {
    fixture.store.add_user(role, change_role, &token(id, name), Some(&hash())).await.unwrap()
}

pub async fn added_with_a_credential(fixture: Fixture) {
    assert_eq!(add(&fixture, Role::Operator, false, "t1", "ann").await, AddUser::Added);
    let certificate =
        CredentialRow { kind: CredentialKind::Certificate, created_at_us: T0 + 1, ..token("0a1b", "bob") };
    let added = fixture.store.add_user(Role::Viewer, false, &certificate, None).await.unwrap();
    assert_eq!(added, AddUser::Added);
    // Another one of the same role: the first stays.
    assert_eq!(add(&fixture, Role::Operator, false, "t2", "ann").await, AddUser::Added);
    let users = fixture.store.users().await.unwrap();
    let bob = UserRow { created_at_us: T0 + 1, ..user("bob", Role::Viewer) };
    assert_eq!((users.rows, users.truncated), (vec![user("ann", Role::Operator), bob], false));
    let credentials = fixture.store.credentials().await.unwrap();
    assert_eq!(credentials.rows, [certificate, token("t1", "ann"), token("t2", "ann")]);
    for &kind in CredentialKind::ALL {
        assert!(credentials.rows.iter().any(|row| row.kind == kind), "{kind}");
    }
}

pub async fn other_role_and_revoked(fixture: Fixture) {
    fixture.store.save_user(&user("admin", Role::Admin)).await.unwrap();
    assert_eq!(add(&fixture, Role::Viewer, false, "t1", "ann").await, AddUser::Added);
    assert_eq!(add(&fixture, Role::Admin, false, "t2", "ann").await, AddUser::OtherRole(Role::Viewer));
    assert_eq!(fixture.store.credentials().await.unwrap().rows.len(), 1, "both or neither");
    assert_eq!(add(&fixture, Role::Admin, true, "t2", "ann").await, AddUser::Added);
    assert_eq!(fixture.store.user("ann").await.unwrap(), Some(user("ann", Role::Admin)));
    assert_eq!(fixture.store.revoke_user("ann").await.unwrap(), RevokeUser::Revoked);
    assert_eq!(fixture.store.revoke_user("ann").await.unwrap(), RevokeUser::Revoked);
    for change_role in [false, true] {
        assert_eq!(add(&fixture, Role::Viewer, change_role, "t3", "ann").await, AddUser::Revoked);
    }
    assert_eq!(fixture.store.revoke_user("eve").await.unwrap(), RevokeUser::Unknown);
}

pub async fn the_last_admin_stays(fixture: Fixture) {
    fixture.store.save_user(&user("admin", Role::Admin)).await.unwrap();
    fixture.store.save_user(&UserRow { revoked: true, ..user("gone", Role::Admin) }).await.unwrap();
    assert_eq!(fixture.store.revoke_user("admin").await.unwrap(), RevokeUser::LastAdmin);
    assert_eq!(add(&fixture, Role::Viewer, true, "t1", "admin").await, AddUser::LastAdmin);
    assert_eq!(fixture.store.user("admin").await.unwrap(), Some(user("admin", Role::Admin)));
    assert_eq!(add(&fixture, Role::Admin, false, "t1", "ann").await, AddUser::Added);
    // Each takes the other's access at the same instant: one of them stays.
    let (one, other) = tokio::join!(fixture.store.revoke_user("admin"), fixture.store.revoke_user("ann"));
    let outcomes = [one.unwrap(), other.unwrap()];
    assert!(
        outcomes.contains(&RevokeUser::Revoked) && outcomes.contains(&RevokeUser::LastAdmin),
        "{outcomes:?}"
    );
}

pub async fn bearers(fixture: Fixture) {
    assert_eq!(add(&fixture, Role::Operator, false, "t1", "ann").await, AddUser::Added);
    let bearer =
        async |id: &str, hash: &str, now_us| fixture.store.token_bearer(id, hash, now_us).await.unwrap();
    let ann = user("ann", Role::Operator);
    assert_eq!(bearer("t1", &hash(), T0 + 99).await, TokenBearer::User(ann.clone()));
    assert_eq!(bearer("t1", &"b".repeat(64), T0).await, TokenBearer::Unknown);
    assert_eq!(bearer("t1", "", T0).await, TokenBearer::Unknown);
    assert_eq!(bearer("t2", &hash(), T0).await, TokenBearer::Unknown);
    let expired = TokenBearer::Expired { user: "ann".into(), at_us: T0 + 100 };
    assert_eq!(bearer("t1", &hash(), T0 + 100).await, expired);
    fixture.store.save_user(&UserRow { revoked: true, ..ann.clone() }).await.unwrap();
    assert_eq!(bearer("t1", &hash(), T0).await, TokenBearer::User(UserRow { revoked: true, ..ann }));
    // A certificate's id is no token.
    let certificate = CredentialRow { kind: CredentialKind::Certificate, ..token("0a1b", "bob") };
    let added = fixture.store.add_user(Role::Viewer, false, &certificate, None).await.unwrap();
    assert_eq!(added, AddUser::Added);
    assert_eq!(bearer("0a1b", "", T0).await, TokenBearer::Unknown);
}

pub async fn refused_credentials(fixture: Fixture) {
    assert_eq!(add(&fixture, Role::Viewer, false, "t1", "ann").await, AddUser::Added);
    let again = fixture.store.add_user(Role::Viewer, false, &token("t1", "bob"), Some(&hash())).await;
    assert!(again.is_err(), "an id is given once");
    let bare = fixture.store.add_user(Role::Viewer, false, &token("t2", "bob"), None).await;
    assert!(bare.is_err(), "a token has a hash");
    let short = fixture.store.add_user(Role::Viewer, false, &token("t3", "bob"), Some("abc")).await;
    assert!(short.is_err(), "a hash has 64 digits");
    assert_eq!(fixture.store.user("bob").await.unwrap(), None, "both or neither");
}
