//! What the server has to know of codecs to keep them: whether a definition is one, and whether its devices' answers can be
//! matched to commands.

use downlink_core::Profile;

/// What a codec says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodecFacts {
    /// Its bytes carry what an answer is matched to its command by. If not, DELIVERED is the final status.
    pub(crate) matches_answers: bool,
}

/// Who reads codecs.
pub(crate) trait Codecs: Send + Sync {
    /// Looks a definition over for a product with this profile.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    fn examine(&self, kind: &str, text: &str, profile: &Profile) -> Result<CodecFacts, String>;
}

/// Bytes of a definition at the most (the platform's limit of a script).
const MAX_CODEC_BYTES: usize = 1024 * 1024;

/// Knows codecs by their kinds, and nothing of their definitions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NamedCodecs;

impl Codecs for NamedCodecs {
    fn examine(&self, kind: &str, text: &str, _: &Profile) -> Result<CodecFacts, String> {
        if text.len() > MAX_CODEC_BYTES {
            return Err(format!("must have at most {MAX_CODEC_BYTES} bytes"));
        }
        let has_text = !text.trim().is_empty();
        match kind {
            "binary" | "javascript" if has_text => Ok(CodecFacts {
                matches_answers: true,
            }),
            "binary" | "javascript" => Err("must have a definition".to_owned()),
            "json" => Ok(CodecFacts {
                matches_answers: true,
            }),
            _ => Err("must be of the kind binary, javascript or json".to_owned()),
        }
    }
}
