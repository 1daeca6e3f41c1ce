//! The run object: a typed view over JSON that is kept whole.
//!
//! Source: `protocol/run-api.md`, "The run object" and "Fine print".

use std::fmt;

use serde_json::{Map, Value};

use crate::Secret;

/// A claimed run: the JSON as meshStack sent it, and a view of what a runner needs of it.
///
/// The object is handed on whole to pipelines and scripts, so fields that we do not know stay in it.
/// An explicit `null` means the same as an absent field.
#[derive(Clone)]
pub struct RunObject {
    raw: Value,
    uuid: String,
    /// Why it cannot be read as a whole.
    unreadable: Option<String>,
}

/// A body that is no run object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunFormatError {
    /// The bytes are no JSON.
    #[error("the run is no JSON (line {line}, column {column})")]
    NotJson {
        /// Line of the first mistake, from 1.
        line: usize,
        /// Column of the first mistake.
        column: usize,
    },
    /// JSON, but not an object with `metadata.uuid`.
    #[error("the run object has no `metadata.uuid`, so nothing can be reported for it")]
    NoUuid,
}

impl RunObject {
    /// Reads a run object.
    ///
    /// Only `metadata.uuid` is required: without it a run cannot be reported. Everything else is
    /// judged by whoever needs it, so that a run with a mistake in it can still be ended.
    pub fn parse(bytes: &[u8]) -> Result<Self, RunFormatError> {
        // Some editors put a byte order mark in front.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let raw: Value = serde_json::from_slice(bytes)
            .map_err(|e| RunFormatError::NotJson { line: e.line(), column: e.column() })?;
        Self::from_value(raw)
    }

    /// The same for JSON that is parsed already.
    pub fn from_value(raw: Value) -> Result<Self, RunFormatError> {
        let uuid = raw.pointer("/metadata/uuid").and_then(Value::as_str).unwrap_or_default().trim();
        if uuid.is_empty() {
            return Err(RunFormatError::NoUuid);
        }
        Ok(Self { uuid: uuid.to_owned(), raw, unreadable: None })
    }

    /// What is left of a run that cannot be read: enough to report its end. `None` without a uuid.
    pub(crate) fn salvage(bytes: &[u8], reason: impl Into<String>) -> Option<Self> {
        let run = Self::from_value(crate::salvage::salvage(bytes)?).ok()?;
        Some(Self { unreadable: Some(reason.into()), ..run })
    }

    /// Why a claimed run cannot be carried out: what meshStack sent is no valid JSON, or too long. Then only its uuid,
    /// token and links are there, and all that can be done is to report its end.
    pub fn unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// The whole object, unknown fields included.
    pub fn raw(&self) -> &Value {
        &self.raw
    }

    /// The whole object, to change values in place (decryption, removal of secrets).
    pub(crate) fn raw_mut(&mut self) -> &mut Value {
        &mut self.raw
    }

    /// `metadata.uuid`, never empty.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.raw.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// `spec.runNumber`.
    pub fn run_number(&self) -> Option<u64> {
        self.raw.pointer("/spec/runNumber").and_then(Value::as_u64)
    }

    /// `spec.behavior`.
    pub fn behavior(&self) -> Behavior {
        Behavior::from(self.text("/spec/behavior").unwrap_or_default())
    }

    /// `spec.runToken`; empty where there is none. Opaque: it need not be a JWT.
    pub fn run_token(&self) -> Secret {
        Secret::new(self.text("/spec/runToken").unwrap_or_default())
    }

    /// `status`, as meshStack has it now (only of interest on an object that was read, not claimed).
    pub fn status(&self) -> Option<&str> {
        self.text("/status")
    }

    /// `spec.buildingBlock.uuid`.
    pub fn building_block_uuid(&self) -> Option<&str> {
        self.text("/spec/buildingBlock/uuid")
    }

    /// `spec.buildingBlock.spec.displayName`.
    pub fn display_name(&self) -> Option<&str> {
        self.text("/spec/buildingBlock/spec/displayName")
    }

    /// The workspace that the building block belongs to (not the definition's).
    pub fn workspace(&self) -> Option<&str> {
        self.text("/spec/buildingBlock/spec/workspaceIdentifier")
    }

    /// The building block's project; absent for building blocks of a workspace.
    pub fn project(&self) -> Option<&str> {
        self.text("/spec/buildingBlock/spec/projectIdentifier")
    }

    /// The building block's platform; absent for building blocks of a workspace.
    pub fn platform(&self) -> Option<&str> {
        self.text("/spec/buildingBlock/spec/fullPlatformIdentifier")
    }

    /// `spec.buildingBlockDefinition.uuid`.
    pub fn definition_uuid(&self) -> Option<&str> {
        self.text("/spec/buildingBlockDefinition/uuid")
    }

    /// The workspace of the platform team that owns the definition.
    pub fn definition_workspace(&self) -> Option<&str> {
        self.text("/spec/buildingBlockDefinition/spec/workspaceIdentifier")
    }

    /// `implementation.type`.
    pub fn implementation_type(&self) -> ImplementationType {
        ImplementationType::from(self.implementation_text("type").unwrap_or_default())
    }

    /// The fields of `implementation`; none if there is no such object.
    pub fn implementation(&self) -> Option<&Map<String, Value>> {
        self.raw.pointer("/spec/buildingBlockDefinition/spec/implementation").and_then(Value::as_object)
    }

    /// A text field of `implementation`; `null`, absent and empty are the same.
    pub fn implementation_text(&self, field: &str) -> Option<&str> {
        self.implementation()?.get(field)?.as_str().filter(|text| !text.is_empty())
    }

    /// A yes-or-no field of `implementation`; absent means no.
    pub fn implementation_flag(&self, field: &str) -> bool {
        self.implementation().and_then(|i| i.get(field)).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The inputs in the order of the object. An entry without a key is passed over.
    pub fn inputs(&self) -> Vec<Input> {
        let Some(list) = self.raw.pointer("/spec/buildingBlock/spec/inputs").and_then(Value::as_array) else {
            return Vec::new();
        };
        list.iter().filter_map(Input::read).collect()
    }

    /// The address under `_links.<name>.href`; an empty one is none.
    pub fn link(&self, name: &str) -> Option<&str> {
        self.raw.get("_links")?.get(name)?.get("href")?.as_str().filter(|href| !href.trim().is_empty())
    }
}

impl fmt::Debug for RunObject {
    /// Names the run and nothing of its content, which holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunObject")
            .field("uuid", &self.uuid)
            .field("behavior", &self.behavior())
            .field("type", &self.implementation_type())
            .finish_non_exhaustive()
    }
}

/// One input of a building block.
#[derive(Clone, PartialEq)]
pub struct Input {
    /// Name of the input.
    pub key: String,
    /// Any JSON value; `null` where there is none.
    pub value: Value,
    /// What kind of value it is.
    pub kind: InputType,
    /// Whether the value is a secret: encrypted on the wire, masked in logs.
    pub sensitive: bool,
    /// Whether it is handed over as an environment variable.
    pub environment: bool,
}

impl Input {
    fn read(value: &Value) -> Option<Self> {
        let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
        Some(Self {
            key: value.get("key")?.as_str()?.to_owned(),
            value: value.get("value").cloned().unwrap_or(Value::Null),
            kind: InputType::from(value.get("type").and_then(Value::as_str).unwrap_or_default()),
            sensitive: flag("isSensitive"),
            environment: flag("isEnvironment"),
        })
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Input");
        out.field("key", &self.key).field("kind", &self.kind).field("environment", &self.environment);
        if self.sensitive {
            out.field("value", &"***")
        } else {
            out.field("value", &self.value)
        };
        out.finish()
    }
}

/// Makes an enum of words that meshStack may add to: an unknown word is kept, never an error.
macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A word this version does not know, as it came.
            Other(String),
        }

        impl $name {
            /// The word on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use open_enum;

open_enum! {
    /// What a run is to do.
    Behavior {
        /// Create or change.
        Apply = "APPLY",
        /// Preview: say what would change, change nothing.
        Detect = "DETECT",
        /// Remove.
        Destroy = "DESTROY",
    }
}

open_enum! {
    /// How a building block is automated, as runs spell it.
    ImplementationType {
        /// Done by hand, or by nobody.
        Manual = "MANUAL",
        /// Terraform, or `OpenTofu`.
        Terraform = "TERRAFORM",
        /// A GitHub Actions workflow.
        GithubWorkflow = "GITHUB_WORKFLOW",
        /// A GitLab pipeline.
        GitlabCicd = "GITLAB_CICD",
        /// An Azure DevOps pipeline.
        AzureDevops = "AZURE_DEVOPS",
    }
}

open_enum! {
    /// The type of an input.
    InputType {
        /// Text.
        String = "STRING",
        /// Text that holds JSON or HCL.
        Code = "CODE",
        /// A number.
        Integer = "INTEGER",
        /// Yes or no.
        Boolean = "BOOLEAN",
        /// A file as a data URL.
        File = "FILE",
        /// One of several texts.
        SingleSelect = "SINGLE_SELECT",
        /// Several of several texts.
        MultiSelect = "MULTI_SELECT",
        /// The old name of `CODE`.
        List = "LIST",
    }
}
