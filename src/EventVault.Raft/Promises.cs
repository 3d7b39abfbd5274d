// Term and vote, and what may not leave before they are durable.
//
// A replica that forgot what it said in a term could say the opposite after a crash. So every message of the current term
// waits here until the term, and the vote if one was given, are flushed. Only what speaks of a term it has not entered
// (PreVote and its grants) promises nothing and goes at once.
namespace EventVault.Raft;

internal sealed class Promises(RaftOutput output, Term term, ReplicaId? votedFor)
{
    /// <summary>Messages that wait for a flush: a few, as a term begins with few. A disk that hangs must not fill the memory: what is more gets lost, as any message may.</summary>
    private const int MostHeld = 256;

    private readonly List<(ulong Save, Message Message)> _held = [];
    private ulong _asked;
    private ulong _durable;

    public Term Term { get; private set; } = term;

    public ReplicaId? VotedFor { get; private set; } = votedFor;

    /// <summary>Whether term and vote are durable as they are now.</summary>
    public bool AreDurable => _asked == _durable;

    /// <summary>A higher term begins, with a vote or without.</summary>
    public void Enter(Term term, ReplicaId? vote)
    {
        Invariant.Check(term > Term);
        Term = term;
        VotedFor = vote;
        _held.Clear();
        Ask();
    }

    /// <summary>The vote of this term.</summary>
    public void Vote(ReplicaId candidate)
    {
        Invariant.Check(VotedFor is null);
        VotedFor = candidate;
        Ask();
    }

    public void Send(in Message message)
    {
        Invariant.Check(message.Term >= Term);
        Invariant.Check(message.From != message.To);
        if (message.Term > Term || AreDurable)
        {
            // A term that has not begun: nothing but PreVote may speak of it.
            Invariant.Check(message.Term == Term || message.Kind is MessageKind.PreVote or MessageKind.PreVoteAnswer);
            output.Messages.Add(message);
        }
        else if (_held.Count < MostHeld)
        {
            _held.Add((_asked, message));
        }
    }

    /// <summary>The flush of this and every earlier request is done.</summary>
    public void Done(ulong number)
    {
        Invariant.Check(number <= _asked);
        if (number <= _durable)
        {
            return;
        }

        _durable = number;
        var free = 0;
        while (free < _held.Count && _held[free].Save <= number)
        {
            Invariant.Check(_held[free].Message.Term == Term);
            output.Messages.Add(_held[free].Message);
            free++;
        }

        _held.RemoveRange(0, free);
        Invariant.Check(!AreDurable || _held.Count == 0);
    }

    private void Ask() => output.Save = new SaveRequest(++_asked, Term, VotedFor);
}
