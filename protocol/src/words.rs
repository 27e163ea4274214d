//! Errors in words, as every part says them.

/// An error with its causes, in one line: each layer's own message, joined by colons.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the door is shut")]
    struct Shut(#[source] std::io::Error);

    #[test]
    fn each_layer_says_its_own() {
        let error = Shut(std::io::Error::other("the key is lost"));
        assert_eq!(with_causes(&error), "the door is shut: the key is lost");
    }
}
