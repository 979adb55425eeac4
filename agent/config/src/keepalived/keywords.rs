//! Every keyword that keepalived knows where this reader looks, and what becomes of it here.
//!
//! docs/configuration.md prints these tables; a test keeps the two the same.

mod block;
mod global;
mod instance;
mod top;

/// A block in which keywords mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Outside every block.
    Top,
    /// `global_defs`.
    Global,
    /// `vrrp_instance`.
    Instance,
    /// `authentication`.
    Authentication,
    /// `vrrp_script`.
    Script,
    /// `vrrp_track_process`.
    Process,
    /// `track_file`.
    File,
    /// `garp_group`.
    GarpGroup,
}

/// One keyword.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyword {
    pub name: &'static str,
    pub treatment: Treatment,
}

/// What hafleet does with a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It does what it does in keepalived.
    Read {
        /// What follows it.
        takes: Takes,
        /// What it does, with unit, range and default.
        about: &'static str,
    },
    /// Accepted in silence: what it asks for is so anyway, or it has nothing to act on.
    Satisfied(&'static str),
    /// A warning: it does nothing here, and no address is held differently because of it.
    Inactive(&'static str),
    /// An error: without it a host would behave differently in a way that matters.
    Unsupported(&'static str),
}

/// The words or the block after a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Between so many words.
    Words(usize, usize),
    /// One word, and all that follow it on the line.
    Line,
    /// A block.
    Block,
    /// A name and a block.
    NameAndBlock,
}

impl Place {
    /// Every place, as the documentation orders them.
    pub const ALL: [Self; 8] = [
        Self::Top,
        Self::Global,
        Self::Instance,
        Self::Authentication,
        Self::Script,
        Self::Process,
        Self::File,
        Self::GarpGroup,
    ];

    /// Its keywords, ordered by name.
    pub fn keywords(self) -> &'static [Keyword] {
        match self {
            Self::Top => top::KEYWORDS,
            Self::Global => global::KEYWORDS,
            Self::Instance => instance::KEYWORDS,
            Self::Authentication => block::AUTHENTICATION,
            Self::Script => block::SCRIPT,
            Self::Process => block::PROCESS,
            Self::File => block::FILE,
            Self::GarpGroup => block::GARP_GROUP,
        }
    }

    /// As it is called in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Top => "outside every block",
            Self::Global => "in `global_defs`",
            Self::Instance => "in `vrrp_instance`",
            Self::Authentication => "in `authentication`",
            Self::Script => "in `vrrp_script`",
            Self::Process => "in `vrrp_track_process`",
            Self::File => "in `track_file`",
            Self::GarpGroup => "in `garp_group`",
        }
    }

    /// The keyword of that name.
    pub fn keyword(self, name: &str) -> Option<&'static Keyword> {
        self.keywords().iter().find(|keyword| keyword.name == name)
    }

    /// The other place where a keyword of that name belongs.
    pub fn elsewhere(self, name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| *place != self && place.keyword(name).is_some())
    }

    /// The keyword that was probably meant.
    pub fn nearest(self, name: &str) -> Option<&'static str> {
        super::super::nearest(name, self.keywords().iter().map(|keyword| keyword.name))
    }
}

const fn read(name: &'static str, takes: Takes, about: &'static str) -> Keyword {
    Keyword { name, treatment: Treatment::Read { takes, about } }
}

const fn satisfied(name: &'static str, why: &'static str) -> Keyword {
    Keyword { name, treatment: Treatment::Satisfied(why) }
}

const fn inactive(name: &'static str, why: &'static str) -> Keyword {
    Keyword { name, treatment: Treatment::Inactive(why) }
}

const fn unsupported(name: &'static str, why: &'static str) -> Keyword {
    Keyword { name, treatment: Treatment::Unsupported(why) }
}
