import Testing

/// The real executables as processes that die, stall and lose their Redis. One at a time: each test
/// wants the whole machine.
@Suite(.serialized) struct ProcessTests {}
