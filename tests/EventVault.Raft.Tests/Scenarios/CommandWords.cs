using System.Globalization;

namespace EventVault.Raft.Tests.Scenarios;

/// <summary>The words of one command, taken one after the other; named ones (<c>key=value</c>) in any order.</summary>
internal sealed class CommandWords(string command)
{
    private const int MostRepeats = 1000;

    private readonly List<string> _words = [.. command.Split(' ', StringSplitOptions.RemoveEmptyEntries)];

    public string Next()
    {
        string word = _words.Count > 0 ? _words[0] : throw new FormatException("Something is missing at the end.");
        _words.RemoveAt(0);
        return word;
    }

    public int Number() => int.Parse(Next(), CultureInfo.InvariantCulture);

    public uint Node() => uint.Parse(Next(), CultureInfo.InvariantCulture);

    /// <summary>All plain numbers that are left.</summary>
    public uint[] Nodes()
    {
        uint[] nodes = [.. _words.Where(w => uint.TryParse(w, out _)).Select(w => uint.Parse(w, CultureInfo.InvariantCulture))];
        _words.RemoveAll(w => uint.TryParse(w, out _));
        return nodes;
    }

    public bool Has(string word) => _words.Remove(word);

    public long Value(string key, long otherwise) => long.Parse(Text(key, otherwise.ToString(CultureInfo.InvariantCulture)), CultureInfo.InvariantCulture);

    public string Text(string key, string otherwise)
    {
        string? found = _words.Find(w => w.StartsWith(key + "=", StringComparison.Ordinal));
        _words.Remove(found ?? "");
        return found?[(key.Length + 1)..] ?? otherwise;
    }

    /// <summary><c>x5</c>: how often, or how many.</summary>
    public int Times(int otherwise)
    {
        string? found = _words.Find(w => w.Length > 1 && w[0] == 'x' && char.IsAsciiDigit(w[1]));
        _words.Remove(found ?? "");
        return found is null ? otherwise : Math.Min(int.Parse(found[1..], CultureInfo.InvariantCulture), MostRepeats);
    }

    /// <summary><c>at 10/1</c>: log index and term.</summary>
    public (ulong Index, ulong Term) At()
    {
        if (!Has("at"))
        {
            return (0, 0);
        }

        string[] parts = Next().Split('/');
        return (ulong.Parse(parts[0], CultureInfo.InvariantCulture), ulong.Parse(parts[1], CultureInfo.InvariantCulture));
    }

    /// <summary><c>(1 2 3/0001) learners=(4)</c>.</summary>
    public Membership Membership()
    {
        string text = string.Join(' ', _words);
        _words.Clear();
        string[] parts = text.Split("learners=");
        return Raft.Membership.Of([.. Members(parts[0], MemberRole.Voter), .. parts.Length > 1 ? Members(parts[1], MemberRole.Learner) : []]);
    }

    /// <summary><c>1-&gt;2</c>, <c>1-&gt;</c>, <c>-&gt;2</c> and a kind of message, each of them or none.</summary>
    public Predicate<Message> Filter()
    {
        string? link = _words.Find(w => w.Contains("->", StringComparison.Ordinal));
        _words.Remove(link ?? "");
        string[] ends = (link ?? "->").Split("->");
        string? kind = _words.Find(w => Enum.TryParse<MessageKind>(w, out _));
        _words.Remove(kind ?? "");
        return m => (ends[0].Length == 0 || $"{m.From.Node}" == ends[0]) && (ends[1].Length == 0 || $"{m.To.Node}" == ends[1]) && (kind is null || $"{m.Kind}" == kind);
    }

    /// <summary><c>1-&gt;2</c>: one way. <c>1-2</c>: both.</summary>
    public IEnumerable<(uint, uint)> Links()
    {
        foreach (string word in _words)
        {
            uint[] ends = [.. word.Split("->").SelectMany(e => e.Split('-')).Select(e => uint.Parse(e, CultureInfo.InvariantCulture))];
            yield return (ends[0], ends[1]);
            if (!word.Contains('>', StringComparison.Ordinal))
            {
                yield return (ends[1], ends[0]);
            }
        }

        _words.Clear();
    }

    /// <summary><c>2-&gt;1 Vote term=5 index=3 log-term=2 …</c>: a message that nobody sent.</summary>
    public Message Message()
    {
        string[] ends = Next().Split("->");
        MessageKind kind = Enum.Parse<MessageKind>(Next());
        return new Message(kind, Id(ends[0]), Id(ends[1]), new((ulong)Value("term", 0)))
        {
            Index = new((ulong)Value("index", 0)),
            LogTerm = new((ulong)Value("log-term", 0)),
            Commit = new((ulong)Value("commit", 0)),
            Read = (ulong)Value("read", 0),
            Hint = new((ulong)Value("hint", 0)),
            HintTerm = new((ulong)Value("hint-term", 0)),
            Rejected = Has("rejected"),
            IsTransfer = Has("transfer"),
            Entries = [.. Text("entries", "").Split(',', StringSplitOptions.RemoveEmptyEntries)
                .Select(t => new Entry(new(ulong.Parse(t, CultureInfo.InvariantCulture)), EntryKind.Appends, 10))],
        };
    }

    public void End()
    {
        if (_words.Count > 0)
        {
            throw new FormatException($"'{string.Join(' ', _words)}' means nothing here.");
        }
    }

    private static IEnumerable<Member> Members(string text, MemberRole role) =>
        text.Trim().TrimStart('(').TrimEnd(')').Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(id => new Member(Id(id), role));

    private static ReplicaId Id(string text)
    {
        string[] parts = text.Split('/');
        Guid incarnation = parts.Length == 1 ? default : new Guid(parts[1] + new string('0', 28));
        return new ReplicaId(uint.Parse(parts[0], CultureInfo.InvariantCulture), incarnation);
    }
}
