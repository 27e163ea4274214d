//! OCSF's own words: classes, activities, severities and statuses, by the numbers that its schema gives them.

/// The OCSF classes that Holdfast uses.
#[derive(Clone, Copy)]
pub(super) enum Class {
    ProcessActivity,
    EventLogActivity,
    Authentication,
    AuthorizeSession,
    EntityManagement,
    ApiActivity,
}

pub(super) struct Activity {
    pub(super) id: u32,
    pub(super) name: &'static str,
}

#[derive(Clone, Copy)]
pub(super) enum Severity {
    Informational,
    Low,
    Medium,
    High,
}

#[derive(Clone, Copy)]
pub(super) enum Status {
    Success,
    Failure,
    Other,
}

impl Class {
    pub(super) fn uid(self) -> u32 {
        match self {
            Self::ProcessActivity => 1007,
            Self::EventLogActivity => 1008,
            Self::Authentication => 3002,
            Self::AuthorizeSession => 3003,
            Self::EntityManagement => 3004,
            Self::ApiActivity => 6003,
        }
    }

    pub(super) fn category(self) -> u32 {
        self.uid() / 1000
    }
}

impl Severity {
    pub(super) fn id(self) -> u32 {
        match self {
            Self::Informational => 1,
            Self::Low => 2,
            Self::Medium => 3,
            Self::High => 4,
        }
    }
}

impl Status {
    pub(super) fn id(self) -> u32 {
        match self {
            Self::Success => 1,
            Self::Failure => 2,
            Self::Other => 99,
        }
    }
}
