/** One change of a config, in the words of IncrementalAlterConfigs. */
record Change(Kind kind, String key, String value) {
    enum Kind { SET, DELETE, APPEND, SUBTRACT }
}
