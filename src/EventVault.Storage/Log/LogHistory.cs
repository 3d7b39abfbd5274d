// What the log's groups say about consensus: the terms they have, and the memberships among them. Kept as two values of
// the state table, as of the last sealed segment; everything in them follows from the groups. Beside them stands what the
// log says about streams (LifeHistory, RetentionValue): a table lacks all of it or nothing.
//
//   terms        one run for each leader that wrote: first log index u64, term u64; ascending. 16 bytes an election
//   membership   the newest one: log index u64, then its bytes; absent while there is none
//
// Only the newest membership is kept: a segment is sealed when all of it is committed, so no older one can return.
using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Log;

/// <summary>What the log says about consensus, from its first group on.</summary>
/// <param name="TermRuns">Where each term begins, ascending: all groups up to the next run are of it.</param>
/// <param name="Memberships">The newest membership that is committed, if any, then all behind it; as bytes.</param>
public sealed record StoredRaft(
    IReadOnlyList<(LogIndex First, Term Term)> TermRuns, IReadOnlyList<(LogIndex Index, byte[] Content)> Memberships);

/// <summary>Gathers it group by group, in the order of the log. One thread.</summary>
internal sealed class LogHistory
{
    private const string TermsName = "terms";
    private const string MembershipName = "membership";
    private const int RunLength = 16;
    private const int IndexLength = 8;

    private readonly List<(LogIndex First, Term Term)> _runs = [];
    private readonly List<(LogIndex Index, byte[] Content)> _memberships = [];

    /// <summary>What the segments say about the lives of streams; beside <see cref="Add"/>, which takes the groups.</summary>
    public LifeHistory Lives { get; private init; } = new();

    /// <summary>Term of the last group; 0 if there is none.</summary>
    public Term LastTerm => _runs.Count == 0 ? default : _runs[^1].Term;

    /// <summary>Begins with what the state table holds.</summary>
    /// <returns>Null if it does not hold this (an older version wrote it): the table is as good as lost.</returns>
    public static LogHistory? From(StateTable state)
    {
        if (LifeHistory.From(state) is not { } lives)
        {
            return null;
        }

        var history = new LogHistory { Lives = lives };
        if (state.AppliedThrough < 0)
        {
            return history;
        }

        if (!state.Values.TryGetValue(TermsName, out var terms) || terms.Length == 0)
        {
            return null;
        }

        for (var at = 0; at < terms.Length; at += RunLength)
        {
            var run = terms.AsSpan(at);
            if (run.Length < RunLength)
            {
                return null;
            }

            var next = (First: new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(run)), Term: new Term(BinaryPrimitives.ReadUInt64LittleEndian(run[8..])));
            if (next.Term <= history.LastTerm || (at == 0 ? next.First.Value != 1 : next.First <= history._runs[^1].First))
            {
                return null;
            }

            history._runs.Add(next);
        }

        if (state.Values.TryGetValue(MembershipName, out var membership))
        {
            if (membership.Length < IndexLength)
            {
                return null;
            }

            history._memberships.Add((new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(membership)), membership[IndexLength..]));
        }

        return history;
    }

    /// <summary>Takes the next group.</summary>
    public void Add(in GroupHeader header, ReadOnlySpan<byte> body, uint seed)
    {
        AddRun(header.Index, header.Term);
        if (header.IsSystem)
        {
            Invariant.Check(SystemRecord.TryDecode(body, seed, out var kind, out var content));
            if (kind == GroupKind.Membership)
            {
                AddMembership(header.Index, content);
            }
        }
    }

    /// <summary>Groups from here on are of this term.</summary>
    public void AddRun(LogIndex first, Term term)
    {
        Invariant.Check(term >= LastTerm && term.Value > 0, "Terms rise along the log.");
        Invariant.Check(_runs.Count == 0 ? first.Value == 1 : first > _runs[^1].First);
        if (term > LastTerm)
        {
            _runs.Add((first, term));
        }
    }

    /// <summary>The next membership.</summary>
    public void AddMembership(LogIndex index, ReadOnlySpan<byte> content)
    {
        Invariant.Check(_memberships.Count == 0 || index > _memberships[^1].Index);
        _memberships.Add((index, content.ToArray()));
    }

    /// <summary>The values of the state table. All that was taken is committed.</summary>
    public IEnumerable<KeyValuePair<string, byte[]>> Values()
    {
        var terms = new byte[_runs.Count * RunLength];
        for (var i = 0; i < _runs.Count; i++)
        {
            var run = terms.AsSpan(i * RunLength);
            BinaryPrimitives.WriteUInt64LittleEndian(run, _runs[i].First.Value);
            BinaryPrimitives.WriteUInt64LittleEndian(run[8..], _runs[i].Term.Value);
        }

        yield return Lives.Value();
        if (Lives.Scavenge.Exists)
        {
            yield return new(ScavengeMark.ValueName, Lives.Scavenge.Value());
        }

        yield return RetentionValue.Of(Lives.Retention);
        yield return new(TermsName, terms);
        if (_memberships.Count > 0)
        {
            var (index, content) = _memberships[^1];
            var value = new byte[IndexLength + content.Length];
            BinaryPrimitives.WriteUInt64LittleEndian(value, index.Value);
            content.CopyTo(value, IndexLength);
            yield return new(MembershipName, value);
        }
    }

    /// <summary>For consensus: of the memberships that are committed, it needs the newest.</summary>
    public StoredRaft AsOf(LogIndex commitIndex)
    {
        var committed = _memberships.FindLastIndex(m => m.Index <= commitIndex);
        return new StoredRaft([.. _runs], [.. _memberships.Skip(Math.Max(0, committed))]);
    }
}
