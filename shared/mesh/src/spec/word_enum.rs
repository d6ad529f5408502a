//! The type of an enumeration of strings, without its reader and writer.

/// Defines an enumeration of strings, which keeps an unknown value as it was read.
macro_rules! word_enum {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $( $(#[$variant_doc:meta])* $wire:literal => $variant:ident, )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_doc])* $variant, )*
            /// An unknown value, as it was read.
            Unrecognised(String),
        }

        impl $name {
            /// The known values, in the form of the API.
            pub(crate) const KNOWN: &'static [&'static str] = &[$($wire),*];

            /// The value of a text in the form of the API.
            pub(crate) fn from_text(text: String) -> Self {
                match text.as_str() {
                    $( $wire => Self::$variant, )*
                    _ => Self::Unrecognised(text),
                }
            }

            /// The value in the form of the API.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$variant => $wire, )*
                    Self::Unrecognised(text) => text,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use word_enum;
