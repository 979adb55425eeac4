//! `hactl user`

use std::path::PathBuf;

use clap::ValueEnum;
use hafleet_proto::v1::{self, AddUserRequest, AddUserResponse, ListUsersRequest, RevokeUserRequest};
use rcgen::{CertificateParams, KeyPair};
use serde::Serialize;

use crate::{
    confirm,
    connect::Coordinators,
    context::write_private,
    duration,
    exit::Exit,
    failure::Failure,
    grid::{Column, grid},
    invocation::Invocation,
    look::{Look, Tone, clean},
    shape::{self, role_word},
    verb::fleet,
};

/// People and programs: who may do what.
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Give somebody access: prints the context file that they add to their hactl
    Add(AddArgs),
    /// List everybody with their credentials
    #[command(visible_alias = "ls")]
    List,
    /// Take somebody's access away, on open streams too
    Revoke(RevokeArgs),
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
viewer looks; operator also moves addresses and puts nodes into maintenance; admin also changes who \
and what belongs to the fleet; fence-approver looks and approves fences, nothing else.

The context holds a secret: give it to its owner by a way that nobody else reads. A certificate's key \
is made here and never sent to the coordinator; of a token the coordinator keeps the hash alone. A \
name can have several credentials; all end when it is revoked.

Examples:
  hactl user add ann --role operator --out ann.toml
  hactl user add zabbix --role viewer --token --lifetime 365d --out zabbix.toml
  hactl user add ann --role admin --change-role --out ann.toml")]
struct AddArgs {
    /// Their name
    name: String,

    /// What they may do
    #[arg(long, value_enum, value_name = "ROLE")]
    role: Role,

    /// How long the credential is good: 1m to 400d
    #[arg(long, default_value = "90d", value_parser = duration::parse_credential_lifetime, value_name = "DURATION")]
    lifetime: u64,

    /// A token, for programs that cannot keep a key
    #[arg(long, conflicts_with = "certificate")]
    token: bool,

    /// A client certificate; this is what you get without --token
    #[arg(long)]
    certificate: bool,

    /// Somebody who is there with another role gets this one
    #[arg(long)]
    change_role: bool,

    /// Write the context to this file, readable by you alone, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Every credential of the name is refused from now on; open streams end within seconds. The name is \
refused for good: somebody who comes back gets another. The last admin cannot be revoked.

Examples:
  hactl user revoke ann
  hactl user revoke zabbix --yes")]
struct RevokeArgs {
    /// Their name
    name: String,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// `--role`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Look
    Viewer,
    /// Also move addresses and put nodes into maintenance
    Operator,
    /// Also change who and what belongs to the fleet
    Admin,
    /// Look and approve fences, nothing else
    FenceApprover,
}

impl From<Role> for v1::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Operator => Self::Operator,
            Role::Admin => Self::Admin,
            Role::FenceApprover => Self::FenceApprover,
        }
    }
}

/// A context file as it is written.
#[derive(Serialize)]
struct ContextFile<'a> {
    name: &'a str,
    coordinators: Vec<String>,
    ca: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cert: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    token: &'a str,
}

pub async fn run(args: Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators()?;
    match args.verb {
        Verb::Add(args) => add(&args, &mut coordinators, invocation).await,
        Verb::List => list(&mut coordinators, invocation).await,
        Verb::Revoke(args) => revoke(&args, &mut coordinators, invocation).await,
    }
}

async fn add(
    args: &AddArgs,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<Exit, Failure> {
    let (key_pem, csr_der) = if args.token { (String::new(), Vec::new()) } else { key_and_request()? };
    let role = v1::Role::from(args.role);
    let request = AddUserRequest {
        name: args.name.clone(),
        role: role.into(),
        lifetime_s: args.lifetime,
        csr_der,
        change_role: args.change_role,
    };
    let attempted = format!("add user {}", args.name);
    let answer = coordinators
        .call(&attempted, request, async |client, request| client.add_user(request).await)
        .await?;
    let context = context(args, coordinators, &answer, &key_pem)?;
    match &args.out {
        Some(path) => {
            write_private(path, &context)?;
            let made = shape::NewUser::new(&args.name, role, &answer, None);
            let line = format!(
                "{} is {}; give them {}, and: hactl context add {}\n",
                clean(&args.name),
                role_word(role),
                path.display(),
                path.display()
            );
            invocation.object(&made, || line)?;
        }
        None => {
            let made = shape::NewUser::new(&args.name, role, &answer, Some(&context));
            // Not cleaned: it is there to be kept as it is.
            invocation.object(&made, || context.clone())?;
        }
    }
    Ok(Exit::Fine)
}

fn key_and_request() -> Result<(String, Vec<u8>), Failure> {
    let key = KeyPair::generate().map_err(Failure::Key)?;
    let request = CertificateParams::default().serialize_request(&key).map_err(Failure::Key)?;
    Ok((key.serialize_pem(), request.der().to_vec()))
}

fn context(
    args: &AddArgs,
    coordinators: &Coordinators,
    answer: &AddUserResponse,
    key_pem: &str,
) -> Result<String, Failure> {
    let file = ContextFile {
        name: &args.name,
        coordinators: coordinators.addresses().map(ToString::to_string).collect(),
        ca: &answer.ca_pem,
        cert: &answer.certificate_pem,
        key: key_pem,
        token: &answer.token,
    };
    toml::to_string(&file).map_err(Failure::Toml)
}

async fn list(coordinators: &mut Coordinators, invocation: &Invocation) -> Result<Exit, Failure> {
    let now_us = fleet(coordinators).await?.at_us;
    let answer = coordinators
        .call("list the users", ListUsersRequest {}, async |client, request| client.list_users(request).await)
        .await?;
    let shapes: Vec<_> = answer.users.iter().map(shape::User::from).collect();
    invocation.list(&shapes, || table(&invocation.look(now_us), &answer.users))?;
    Ok(Exit::Fine)
}

fn table(look: &Look, users: &[v1::User]) -> String {
    let columns = [
        Column::Free("USER"),
        Column::Fixed("ROLE"),
        Column::Fixed("ACCESS"),
        Column::Free("CREDENTIALS"),
        Column::Wide("SINCE"),
    ];
    let rows = users.iter().map(|user| {
        let (tone, access) = if user.revoked { (Tone::Bad, "revoked") } else { (Tone::Good, "yes") };
        let credentials = user.credentials.iter().map(|credential| {
            let until = look.time(credential.expires_at_us);
            let word = if credential.expires_at_us <= look.now.as_microsecond() { "ended" } else { "until" };
            format!("{} {} {word} {until}", credential.kind, credential.id)
        });
        vec![
            look.text(&user.name),
            look.text(role_word(user.role())),
            look.cell(tone, access),
            look.text(&credentials.collect::<Vec<_>>().join("\n")),
            look.text(&look.time(user.created_at_us)),
        ]
    });
    grid(look, &columns, rows.collect())
}

async fn revoke(
    args: &RevokeArgs,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<Exit, Failure> {
    let name = clean(&args.name);
    confirm::ask(&format!("Take the access of {name} away for good?"), args.yes)?;
    let request = RevokeUserRequest { name: args.name.clone() };
    coordinators
        .call(&format!("revoke user {name}"), request, async |client, request| {
            client.revoke_user(request).await
        })
        .await?;
    invocation.object(&shape::UserRevoked::new(&args.name), || format!("user {name} is revoked\n"))?;
    Ok(Exit::Fine)
}
