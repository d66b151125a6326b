//! Codecs of products: looked over when they are put, read once, and kept ready with their product.

use downlink_codec::Codec;
use downlink_core::Profile;
use downlink_core::product::Service;

/// What a codec says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodecFacts {
    /// Its bytes carry what an answer is matched to its command by, for every command that is answered at all.
    pub(crate) matches_answers: bool,
}

/// Reads a definition: `binary` is a document of fields (JSON or TOML), `javascript` a script, `json` needs none.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn read(kind: &str, text: &str) -> Result<Codec, String> {
    let codec = match kind {
        "json" => return Ok(Codec::Json),
        "javascript" => Codec::from_script(text),
        "binary" => Codec::from_document(text),
        _ => return Err("must be of the kind binary, javascript or json".to_owned()),
    };
    match codec.map_err(|error| error.to_string())? {
        Codec::Json | Codec::Script(_) if kind == "binary" => {
            Err("must be a document of the kind binary, as was said".to_owned())
        }
        codec @ (Codec::Json | Codec::Binary(_) | Codec::Script(_)) => Ok(codec),
    }
}

/// Looks a definition over for a product with this profile.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn examine(kind: &str, text: &str, profile: &Profile) -> Result<CodecFacts, String> {
    let codec = read(kind, text)?;
    let matched = |service: &Service| {
        let mut answered = service.commands.iter().filter(|command| command.is_answered());
        answered.all(|command| codec.carries_mid(&service.id, &command.name))
    };
    let matches_answers = profile.services().iter().all(matched);
    Ok(CodecFacts { matches_answers })
}
