//! What a coordinator has to know of the cluster's topics.

use uuid::Uuid;

/// The topics of the cluster at one moment.
pub trait TopicView {
    /// The topic's id and number of partitions.
    fn by_name(&self, name: &str) -> Option<(Uuid, i32)>;
    /// The topic's name and number of partitions.
    fn by_id(&self, id: Uuid) -> Option<(&str, i32)>;
    /// All names, in any order; internal topics included.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;
    /// Changes whenever any of the above may have changed.
    fn revision(&self) -> i64;
}
