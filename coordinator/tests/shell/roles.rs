//! Who may call what: every call of every service, by every party.

use std::{collections::BTreeSet, time::Duration};

use ha_coordinator::{
    clock::Clock,
    identity::user_token::UserToken,
    store::{CredentialKind, CredentialRow, Role, UserRow},
};
use hafleet_proto::v1::{self, FILE_DESCRIPTOR_SET};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};

use crate::rig::{Credential, Rig, node_credential};

/// Whom a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Anybody,
    Node,
    /// Who has a credential, of whichever party.
    Known,
    /// People with one of these roles.
    People(&'static [Role]),
}

use Role::{Admin, FenceApprover, Operator, Viewer};

const LOOK: For = For::People(&[Viewer, Operator, Admin, FenceApprover]);
const OPERATE: For = For::People(&[Operator, Admin]);
const ADMINISTER: For = For::People(&[Admin]);
/// Not even an admin: who proposes and who approves are two.
const APPROVE: For = For::People(&[FenceApprover]);
const EITHER_HAND: For = For::People(&[Operator, Admin, FenceApprover]);

/// Every call there is. One that is not here fails the test: whose it is has to be decided.
const CALLS: &[(&str, For)] = &[
    ("hafleet.v1.AgentService/Enroll", For::Anybody),
    ("hafleet.v1.AgentService/Renew", For::Node),
    ("hafleet.v1.AgentService/Session", For::Node),
    ("hafleet.v1.OperatorService/GetFleet", LOOK),
    ("hafleet.v1.OperatorService/ListFindings", LOOK),
    ("hafleet.v1.OperatorService/ListTransitions", LOOK),
    ("hafleet.v1.OperatorService/ExplainGroup", LOOK),
    ("hafleet.v1.OperatorService/Watch", LOOK),
    ("hafleet.v1.OperatorService/CreateToken", ADMINISTER),
    ("hafleet.v1.OperatorService/ListTokens", ADMINISTER),
    ("hafleet.v1.OperatorService/RevokeNode", ADMINISTER),
    ("hafleet.v1.OperatorService/ListAudit", LOOK),
    ("hafleet.v1.OperatorService/AddUser", ADMINISTER),
    ("hafleet.v1.OperatorService/ListUsers", ADMINISTER),
    ("hafleet.v1.OperatorService/RevokeUser", ADMINISTER),
    ("hafleet.v1.OperatorService/SwitchOver", OPERATE),
    ("hafleet.v1.OperatorService/UndoSwitchOver", OPERATE),
    ("hafleet.v1.OperatorService/SetMaintenance", OPERATE),
    ("hafleet.v1.OperatorService/ProbeGroup", OPERATE),
    ("hafleet.v1.ConfigService/ValidateConfig", OPERATE),
    ("hafleet.v1.ConfigService/CheckConfig", OPERATE),
    ("hafleet.v1.ConfigService/DiffConfig", OPERATE),
    ("hafleet.v1.ConfigService/ApplyConfig", ADMINISTER),
    ("hafleet.v1.ConfigService/RollbackConfig", ADMINISTER),
    ("hafleet.v1.ConfigService/ListConfigs", LOOK),
    ("hafleet.v1.ConfigService/GetConfig", LOOK),
    ("hafleet.v1.ConfigService/GetDrift", LOOK),
    ("hafleet.v1.FenceService/List", LOOK),
    ("hafleet.v1.FenceService/Get", LOOK),
    ("hafleet.v1.FenceService/Propose", OPERATE),
    ("hafleet.v1.FenceService/Approve", APPROVE),
    ("hafleet.v1.FenceService/Deny", APPROVE),
    ("hafleet.v1.FenceService/Run", APPROVE),
    ("hafleet.v1.FenceService/Confirm", APPROVE),
    ("hafleet.v1.FenceService/Release", APPROVE),
    ("hafleet.v1.FenceService/Pause", EITHER_HAND),
    ("hafleet.v1.FenceService/Resume", APPROVE),
    ("hafleet.v1.FenceService/Test", EITHER_HAND),
    ("grpc.health.v1.Health/Check", For::Known),
    ("grpc.health.v1.Health/Watch", For::Known),
    ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", For::Known),
];

#[test]
fn every_call_is_in_the_table() {
    let sets = [
        FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    ];
    let files = sets.iter().flat_map(|set| FileDescriptorSet::decode(*set).unwrap().file);
    let calls = files.flat_map(|file| {
        let package = file.package().to_owned();
        file.service.into_iter().flat_map(move |service| {
            let name = format!("{package}.{}", service.name());
            service.method.into_iter().map(move |method| format!("{name}/{}", method.name()))
        })
    });
    let calls: BTreeSet<String> = calls.collect();
    let table: BTreeSet<String> = CALLS.iter().map(|(call, _)| (*call).to_owned()).collect();
    assert_eq!(calls, table);
}

/// A party with what it shows.
struct Caller {
    what: String,
    channel: Channel,
    token: Option<String>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug)]
enum Standing {
    /// Nothing that is good: nobody is proven to be there.
    Nobody,
    /// Somebody who may not come any more.
    Out,
    Node,
    Person(Role),
}

impl Caller {
    async fn call(&self, path: &str) -> Result<(), Code> {
        let mut request = Request::new(tokio_stream::once(()));
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let path = format!("/{path}").parse().unwrap();
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let answered: Result<_, Status> =
            client.streaming(request, path, tonic_prost::ProstCodec::<(), ()>::default()).await;
        match answered.map_err(|status| status.code()) {
            Err(code @ (Code::Unauthenticated | Code::PermissionDenied)) => Err(code),
            // It came through to what it asks: that the question is empty is another matter.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn expected(&self, call: For) -> Result<(), Code> {
        match (call, self.standing) {
            (For::Anybody, _) => Ok(()),
            (_, Standing::Nobody) => Err(Code::Unauthenticated),
            (_, Standing::Out) => Err(Code::PermissionDenied),
            (For::Known, Standing::Node | Standing::Person(_)) | (For::Node, Standing::Node) => Ok(()),
            (For::Node, Standing::Person(_)) | (For::People(_), Standing::Node) => {
                Err(Code::PermissionDenied)
            }
            (For::People(roles), Standing::Person(role)) => {
                if roles.contains(&role) {
                    Ok(())
                } else {
                    Err(Code::PermissionDenied)
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_by_every_party() {
    let rig = Rig::start().await;
    let mut callers = Vec::new();
    let caller = async |what: String, credential: Option<&Credential>, token: Option<String>, standing| {
        let channel = rig.channel(credential).await.unwrap();
        Caller { what, channel, token, standing }
    };

    callers.push(caller("nothing".into(), None, None, Standing::Nobody).await);
    let agent = rig.enrol("lb01").await;
    callers.push(caller("a node".into(), Some(&agent.credential), None, Standing::Node).await);
    let gone = rig.enrol("lb02").await;
    rig.operator().await.revoke_node(v1::RevokeNodeRequest { node: "lb02".into() }).await.unwrap();
    callers.push(caller("a revoked node".into(), Some(&gone.credential), None, Standing::Out).await);
    for &role in Role::ALL {
        let name = format!("certified-{}", role.as_str());
        let credential = rig.user(&name, role).await;
        callers.push(caller(name, Some(&credential), None, Standing::Person(role)).await);
        let name = format!("bearer-{}", role.as_str());
        let token = token(&rig, &name, role, 3_600_000_000).await;
        callers.push(caller(name, None, Some(token), Standing::Person(role)).await);
    }
    // A certificate counts, whatever else is shown with it.
    let viewer = rig.user("two-faced", Viewer).await;
    let admin = token(&rig, "stolen", Admin, 3_600_000_000).await;
    callers.push(caller("both".into(), Some(&viewer), Some(admin), Standing::Person(Viewer)).await);

    let ended = token(&rig, "late", Admin, -1).await;
    callers.push(caller("an ended token".into(), None, Some(ended), Standing::Nobody).await);
    let unknown = UserToken::generate().unwrap().to_string();
    callers.push(caller("an unknown token".into(), None, Some(unknown), Standing::Nobody).await);
    callers.push(caller("no token".into(), None, Some("hunter2".into()), Standing::Nobody).await);
    let certificate = rig.user("out-certified", Admin).await;
    let bearer = token(&rig, "out-bearer", Admin, 3_600_000_000).await;
    for name in ["out-certified", "out-bearer"] {
        rig.operator().await.revoke_user(v1::RevokeUserRequest { name: name.into() }).await.unwrap();
    }
    callers.push(caller("a revoked certificate".into(), Some(&certificate), None, Standing::Out).await);
    callers.push(caller("a revoked token".into(), None, Some(bearer), Standing::Out).await);
    let stranger = rig.ca().issue_user("unheard-of", Clock::start().wall_us()).unwrap();
    let stranger =
        Credential { certificate: stranger.certificate.der, key_der: crate::rig::der(&stranger.key_pem) };
    callers.push(caller("a person without a row".into(), Some(&stranger), None, Standing::Out).await);

    let mut wrong = Vec::new();
    for caller in &callers {
        for (path, call) in CALLS {
            let (got, expected) = (caller.call(path).await, caller.expected(*call));
            if got != expected {
                wrong.push(format!("{} calls {path}: {got:?} instead of {expected:?}", caller.what));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let day = Duration::from_secs(86_400);
    let ended = node_credential(&rig.ca(), "lb01", Clock::start().wall_us() - 30 * 86_400_000_000, day);
    // TLS turns an ended certificate away: there is no call to refuse.
    let ended = caller("an ended certificate".into(), Some(&ended), None, Standing::Nobody).await;
    let mut client = Grpc::new(ended.channel.clone());
    assert!(client.ready().await.is_err() || ended.call(CALLS[3].0).await.is_ok(), "{}", ended.what);
}

/// A token that ends so many microseconds from now, straight into the store.
async fn token(rig: &Rig, name: &str, role: Role, lifetime_us: i64) -> String {
    let token = UserToken::generate().unwrap();
    let user = UserRow { name: name.into(), role, created_at_us: 1, revoked: false };
    rig.store().save_user(&user).await.unwrap();
    let row = CredentialRow {
        id: token.id.clone(),
        user_name: name.into(),
        kind: CredentialKind::Token,
        created_by: "user/admin".into(),
        created_at_us: 1,
        expires_at_us: Clock::start().wall_us() + lifetime_us,
    };
    let added = rig.store().add_user(role, false, &row, Some(&token.secret_hash())).await.unwrap();
    assert_eq!(added, ha_coordinator::store::AddUser::Added);
    token.to_string()
}
