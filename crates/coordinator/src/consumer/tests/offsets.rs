//! Statement E9: whose commits count.

use super::*;

fn commit(member_id: &str, member_epoch: i32) -> ConsumerCommit<'_> {
    ConsumerCommit {
        member_id,
        instance_id: None,
        member_epoch,
        is_transactional: false,
        version: 9,
    }
}

const ORDERS: Uuid = Uuid::from_u128(1);

#[test]
fn an_empty_group_takes_offsets_from_an_administrator_and_one_with_members_does_not() {
    let mut world = World::new();
    assert!(world.group.validate_commit(&commit("", -1)).is_ok());
    world.join("a");
    assert_eq!(
        world.group.validate_commit(&commit("", -1)).unwrap_err(),
        GroupError::UnknownMember
    );
    assert_eq!(
        world.group.validate_commit(&commit("b", 1)).unwrap_err(),
        GroupError::UnknownMember
    );
    // Producers that do not say for whom.
    let transactional = ConsumerCommit {
        is_transactional: true,
        version: 0,
        ..commit("", -1)
    };
    assert!(world.group.validate_commit(&transactional).is_ok());
}

#[test]
fn a_member_commits_with_its_epoch() {
    let mut world = World::new();
    let epoch = world.join("a").member_epoch;
    let scope = world.group.validate_commit(&commit("a", epoch)).unwrap();
    assert_eq!(scope.check(ORDERS, 77), Ok(()));
    let ahead = world.group.validate_commit(&commit("a", epoch + 1));
    assert!(matches!(ahead, Err(GroupError::StaleMemberEpoch(_))));
    let old_version = ConsumerCommit {
        version: 8,
        ..commit("a", epoch)
    };
    assert_eq!(
        world.group.validate_commit(&old_version).unwrap_err(),
        GroupError::UnsupportedVersion
    );
}

#[test]
fn with_an_older_epoch_a_member_commits_what_was_its_own_at_that_epoch() {
    let mut world = World::new();
    world.join("a");
    world.join("b");
    world.beat(&alive("a", 2)).unwrap();
    world.beat(&owns("a", 2, &orders(&[0, 1]))).unwrap();
    world.beat(&alive("b", 3)).unwrap();
    let scope = world.group.validate_commit(&commit("a", 2)).unwrap();
    assert_eq!(scope.check(ORDERS, 0), Ok(()));
    assert!(
        matches!(scope.check(ORDERS, 2), Err(GroupError::StaleMemberEpoch(_))),
        "it belongs to another now"
    );
    let scope = world.group.validate_commit(&commit("b", 2)).unwrap();
    assert!(
        matches!(scope.check(ORDERS, 2), Err(GroupError::StaleMemberEpoch(_))),
        "it had it from epoch 2 on"
    );
}

#[test]
fn a_fetch_with_a_member_id_needs_the_right_epoch() {
    let mut world = World::new();
    let epoch = world.join("a").member_epoch;
    assert_eq!(world.group.validate_fetch(None, -1), Ok(()));
    assert_eq!(world.group.validate_fetch(Some("a"), epoch), Ok(()));
    assert_eq!(
        world.group.validate_fetch(Some("b"), epoch),
        Err(GroupError::UnknownMember)
    );
    assert!(matches!(
        world.group.validate_fetch(Some("a"), epoch - 1),
        Err(GroupError::StaleMemberEpoch(_))
    ));
}
