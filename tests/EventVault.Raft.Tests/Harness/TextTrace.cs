namespace EventVault.Raft.Tests.Harness;

/// <summary>Writes down what happens, a line for each thing that is seen from outside a core.</summary>
internal sealed class TextTrace(Action<string> write)
{
    private readonly Dictionary<ReplicaId, (string Standing, LogIndex Commit, Membership Membership)> _last = [];

    public void Started(TestReplica replica) =>
        _last[replica.Id] = (Words.Standing(replica.Core), replica.Core.CommitIndex, replica.Core.Membership);

    public void Delivery(Message message, bool arrives) => write($"{(arrives ? "arrives" : "lost")}: {Words.Of(message)}");

    public void Flush(TestReplica replica, DiskWrite done) => write($"{replica.Id} has flushed {Words.Of(done)}");

    public void Output(TestReplica replica, TakenOutput output)
    {
        _last.TryGetValue(replica.Id, out (string Standing, LogIndex Commit, Membership Membership) last);
        RaftCore core = replica.Core;
        if (Words.Standing(core) != last.Standing)
        {
            write($"{replica.Id} {Words.Standing(core)}");
        }

        if (output.Save is { } save)
        {
            write($"{replica.Id} saves {Words.Of(new SaveWrite(save))}");
        }

        if (output.TruncateAfter is { } cut)
        {
            write($"{replica.Id} truncates behind {cut}");
        }

        if (output.Append.Length > 0)
        {
            write($"{replica.Id} appends {Words.Of(output.AppendFrom, output.Append)}");
        }

        if (!core.Membership.Equals(last.Membership))
        {
            write($"{replica.Id} goes by {core.Membership}");
        }

        foreach (Message message in output.Messages)
        {
            write(Words.Of(message));
        }

        if (core.CommitIndex != last.Commit)
        {
            write($"{replica.Id} commits {core.CommitIndex}");
        }

        foreach (ReadResult read in output.Reads)
        {
            write($"{replica.Id} {Words.Of(read)}");
        }

        foreach (ShipRequest ship in output.Ships)
        {
            write($"{replica.Id} ships to {ship.To} from {ship.Next}");
        }

        _last[replica.Id] = (Words.Standing(core), core.CommitIndex, core.Membership);
    }
}
