//! `hactl context`

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    confirm,
    context::{Added, Context, ContextError, Store},
    exit::Exit,
    failure::Failure,
    grid::{Column, fields, grid},
    invocation::Invocation,
    look::{Look, Tone, instant},
};

/// The fleets that this hactl knows, and which one it talks to.
#[derive(clap::Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
A context says which coordinators to ask, which CA to trust and who you are. `ha-coordinator init` \
writes the first one to admin.toml in its data directory. Contexts are kept in $HACTL_CONFIG_DIR, \
else in ~/.config/hafleet, readable by you alone.

A verb uses the context that --context or HACTL_CONTEXT says, else the current one."
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// List the contexts; the current one is marked
    #[command(visible_alias = "ls")]
    List,
    /// Make a context the current one
    Use {
        /// Its name
        name: String,
    },
    /// Add a context file
    Add(AddArgs),
    /// Show a context without its private key
    Show {
        /// Its name or file; without, the one in use
        name: Option<String>,
    },
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
The first context that is added becomes the current one.

Examples:
  hactl context add /var/lib/hafleet/coordinator/admin.toml
  hactl context add admin.toml --name dc1 --use")]
struct AddArgs {
    /// The file, as `ha-coordinator init` wrote it
    file: PathBuf,

    /// Keep it under this name instead of its own
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Make it the current one
    #[arg(long = "use")]
    make_current: bool,

    /// Replace another context of this name without asking
    #[arg(short, long)]
    yes: bool,
}

/// `hactl context list -o json`, `hactl context show -o json`
#[derive(Serialize)]
struct Shape {
    name: String,
    current: bool,
    coordinators: Vec<String>,
    identity: Option<String>,
    not_after: Option<Timestamp>,
    path: PathBuf,
}

pub fn run(args: Args, invocation: &Invocation) -> Result<Exit, Failure> {
    match args.verb {
        Verb::List => list(invocation),
        Verb::Use { name } => {
            Store::open()?.set_current(&name)?;
            invocation.note(&format!("hactl now uses context {name}."));
            Ok(Exit::Fine)
        }
        Verb::Add(args) => add(&args, invocation),
        Verb::Show { name } => show(name.as_deref(), invocation),
    }
}

fn list(invocation: &Invocation) -> Result<Exit, Failure> {
    let store = Store::open()?;
    let current = store.current()?;
    let mut shapes = Vec::new();
    for name in store.names()? {
        match store.load(&name) {
            Ok(context) => shapes.push(Shape::new(&name, &context, current.as_deref() == Some(&name))),
            // One broken file must not hide the others.
            Err(error) => invocation.note(&format!("warning: context {name} is not usable: {error}")),
        }
    }
    if shapes.is_empty() {
        invocation.note("There is no context yet: hactl context add FILE");
    }
    let columns = [
        Column::Fixed("CURRENT"),
        Column::Free("NAME"),
        Column::Free("COORDINATORS"),
        Column::Free("IDENTITY"),
        Column::Wide("UNTIL"),
        Column::Wide("FILE"),
    ];
    invocation.list(&shapes, || {
        let look = invocation.look(0);
        let rows = shapes.iter().map(|shape| {
            vec![
                look.text(if shape.current { "*" } else { " " }),
                look.text(&shape.name),
                look.text(&shape.coordinators.join("\n")),
                look.text(shape.identity.as_deref().unwrap_or_default()),
                until(&look, shape),
                look.text(&shape.path.display().to_string()),
            ]
        });
        grid(&look, &columns, rows.collect())
    })?;
    Ok(Exit::Fine)
}

fn add(args: &AddArgs, invocation: &Invocation) -> Result<Exit, Failure> {
    let store = Store::open()?;
    let context = Context::read(&args.file)?;
    let name = args.name.clone().unwrap_or(context.name);
    let added = match store.add(&name, &context.text, args.yes) {
        Err(error @ ContextError::Exists(_)) => {
            if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
                return Err(error.into());
            }
            confirm::ask(
                &format!("Replace context {name}? It is not the same as {}.", args.file.display()),
                false,
            )?;
            store.add(&name, &context.text, true)?
        }
        result => result?,
    };
    invocation.note(&match added {
        Added::New => format!("Context {name} is added."),
        Added::Replaced => format!("Context {name} is replaced."),
        Added::Same => format!("Context {name} is there already."),
    });
    if args.make_current || store.current()?.is_none() {
        store.set_current(&name)?;
        invocation.note(&format!("hactl now uses context {name}."));
    }
    Ok(Exit::Fine)
}

fn show(name: Option<&str>, invocation: &Invocation) -> Result<Exit, Failure> {
    let context = match name {
        Some(name) => crate::context::select(Some(name))?,
        None => invocation.context()?,
    };
    let current = Store::open().and_then(|store| store.current()).ok().flatten();
    let shape = Shape::new(&context.name, &context, current.as_deref() == name.or(Some(&context.name)));
    invocation.object(&shape, || {
        let look = invocation.look(0);
        let rows = vec![
            ("Name", look.text(&shape.name)),
            ("Coordinators", look.text(&shape.coordinators.join("\n"))),
            ("Identity", look.text(shape.identity.as_deref().unwrap_or_default())),
            ("Valid until", until(&look, &shape)),
            ("File", look.text(&shape.path.display().to_string())),
        ];
        fields(&look, rows)
    })?;
    Ok(Exit::Fine)
}

impl Shape {
    fn new(name: &str, context: &Context, current: bool) -> Self {
        let identity = context.identity();
        Self {
            name: name.to_owned(),
            current,
            coordinators: context.coordinators.iter().map(ToString::to_string).collect(),
            not_after: identity.as_ref().and_then(|identity| instant(identity.not_after_us)),
            identity: identity.and_then(|identity| identity.uri),
            path: absolute(&context.path),
        }
    }
}

fn until(look: &Look, shape: &Shape) -> comfy_table::Cell {
    let us = shape.not_after.map_or(0, Timestamp::as_microsecond);
    let clock = look.clock(us).unwrap_or_default();
    let over = us != 0 && us <= look.now.as_microsecond();
    if over { look.cell(Tone::Bad, &format!("EXPIRED {clock}")) } else { look.text(&clock) }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
