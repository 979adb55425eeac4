//! What a program says of itself: the resource-agent XML of `action=metadata`.

use std::collections::{BTreeMap, BTreeSet};

/// What a program takes and can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `fence_ipmilan`.
    pub name: String,
    /// In one sentence.
    pub summary: String,
    /// By name.
    pub parameters: BTreeMap<String, Parameter>,
    /// `off`, `status`, ….
    pub actions: BTreeSet<String>,
}

/// One thing that it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameter {
    /// It does nothing without.
    pub is_required: bool,
    /// Nobody but the program may see it.
    pub is_secret: bool,
    /// Other names of the same, old or new: `ip` for `ipaddr`.
    pub aliases: Vec<String>,
    /// What it does without, if it says so.
    pub default: Option<String>,
    /// In one sentence.
    pub summary: String,
}

impl Metadata {
    /// Reads the document.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // Some print warnings before it.
        let begin = text.find("<?xml").or_else(|| text.find("<resource-agent")).unwrap_or(0);
        let text = text.get(begin..).unwrap_or_default();
        let document = roxmltree::Document::parse(text).map_err(|error| error.to_string())?;
        let root = document.root_element();
        if !root.has_tag_name("resource-agent") {
            return Err(format!("its root is <{}>, not <resource-agent>", root.tag_name().name()));
        }
        let mut metadata = Self {
            name: root.attribute("name").unwrap_or_default().to_owned(),
            summary: root.attribute("shortdesc").unwrap_or_default().to_owned(),
            ..Self::default()
        };
        let mut replaced_by: BTreeMap<String, String> = BTreeMap::new();
        for node in root.descendants().filter(|node| node.has_tag_name("parameter")) {
            let Some(name) = node.attribute("name") else { continue };
            if let Some(other) = node.attribute("obsoletes") {
                replaced_by.insert(other.to_owned(), name.to_owned());
            }
            let child = |tag: &str| node.children().find(|child| child.has_tag_name(tag));
            let parameter = Parameter {
                is_required: node.attribute("required") == Some("1"),
                is_secret: is_secret(name),
                aliases: Vec::new(),
                default: child("content").and_then(|content| content.attribute("default")).map(str::to_owned),
                summary: child("shortdesc")
                    .and_then(|text| text.text())
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
            };
            metadata.parameters.insert(name.to_owned(), parameter);
        }
        for (old, new) in replaced_by {
            for (one, other) in [(&old, &new), (&new, &old)] {
                if let Some(parameter) = metadata.parameters.get_mut(one) {
                    parameter.aliases.push(other.clone());
                }
            }
        }
        let actions = root.descendants().filter(|node| node.has_tag_name("action"));
        metadata.actions = actions.filter_map(|node| node.attribute("name")).map(str::to_owned).collect();
        Ok(metadata)
    }
}

/// The document does not say which ones are secret; their names do. One too many is struck out of a log, one too few is
/// published.
fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 12] = [
        "passw",
        "passphrase",
        "secret",
        "token",
        "community",
        "credential",
        // `fence_ibm_vpc`, `fence_ecloud`.
        "apikey",
        "api_key",
        // `fence_aws`, `fence_aliyun`.
        "access_key",
        "accesskey",
        "private_key",
        // The Kg of IPMI, which opens a session like a password: `fence_ipmilan` and its kin.
        "hexadecimal_kg",
    ];
    let name = name.to_ascii_lowercase().replace('-', "_");
    // Where a secret comes from is none.
    let is_source = ["_script", "_file", "_timeout", "_path"].iter().any(|end| name.ends_with(end));
    !is_source && WORDS.iter().any(|word| name.contains(word))
}
