import java.util.Optional;

/** What ListOffsets says: -1 for an offset or a timestamp that there is not. */
record Found(long offset, long timestamp, Optional<Integer> leaderEpoch) {}
