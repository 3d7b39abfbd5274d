namespace EventVault.Client;

/// <summary>
/// Which node of a vault of several answers reads and subscriptions. Changes, reads of the newest state of all
/// (<see cref="Consistency.Linearizable"/>) and states by time go to the leader, whatever this says.
/// </summary>
public enum ReadFrom
{
    /// <summary>
    /// The leader. A read that doesn't say what it must have seen is <see cref="Consistency.Linearizable"/>: it sees all that was
    /// acknowledged to anybody before.
    /// </summary>
    Leader,

    /// <summary>
    /// Any node, followers and read replicas first, so that the leader has less to do. A read that doesn't say what it must have seen sees
    /// all that this client has seen (<see cref="Consistency.ReadYourWrites"/>): a node that is behind is waited for, or another one asked.
    /// </summary>
    Any,

    /// <summary>
    /// Any node, and a read that doesn't say what it must have seen takes what that node has (<see cref="Consistency.Local"/>), which may
    /// be older than what this client has seen. Also a node that has lost the others answers.
    /// </summary>
    Local,
}
