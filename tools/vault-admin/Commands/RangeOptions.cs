using System.CommandLine;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary>What to read: a stream or the whole vault, and from where.</summary>
internal sealed class RangeOptions
{
    public Argument<string?> Stream { get; } = new("stream") { Description = "Name of the stream.", Arity = ArgumentArity.ZeroOrOne };

    public Option<bool> All { get; } = new("--all") { Description = "All streams, in the order of their positions." };

    public Option<ulong?> From { get; } = new("--from") { Description = "Where to begin, inclusive: a version of the stream, or with --all a position.", HelpName = "N" };

    public Option<string?> FromTime { get; } = new("--from-time") { Description = "Where to begin, inclusive: a time of recording, as RFC 3339.", HelpName = "time" };

    public Option<ulong?> Limit { get; } = new("--limit") { Description = "At most this many events.", HelpName = "N" };

    public Option<bool> System { get; } = new("--system") { Description = "With --all: also the vault's own streams, whose names start with $." };

    private readonly FilterOptions _filter = new();

    public void AddTo(Command command)
    {
        command.Arguments.Add(Stream);
        command.Options.Add(All);
        command.Options.Add(From);
        command.Options.Add(FromTime);
        command.Options.Add(Limit);
        command.Options.Add(System);
        _filter.AddTo(command);
    }

    /// <summary>The stream to read; null: the whole vault.</summary>
    /// <param name="parse">The command line.</param>
    /// <exception cref="UsageException">It names both or neither.</exception>
    public string? StreamOf(ParseResult parse)
    {
        var stream = parse.GetValue(Stream);
        var all = parse.GetValue(All);
        if (all == (stream is not null))
        {
            throw new UsageException(all ? "Name a stream or give --all, not both." : "Name a stream, or give --all for all streams.");
        }

        if (parse.GetValue(System) && !all)
        {
            throw new UsageException("--system goes with --all; a stream of the vault's own can be named directly.");
        }

        return stream;
    }

    /// <summary>The filter; null: none.</summary>
    /// <param name="parse">The command line.</param>
    /// <exception cref="UsageException">It comes without --all, or says nothing.</exception>
    public EventFilter? FilterOf(ParseResult parse)
    {
        var filter = _filter.Of(parse);
        return filter is null || parse.GetValue(All)
            ? filter
            : throw new UsageException("--category, --prefix, --type, --tag, --correlation-id and --event-id go with --all.");
    }

    /// <summary>The limit; 0: none.</summary>
    /// <param name="parse">The command line.</param>
    public ulong LimitOf(ParseResult parse) => parse.GetValue(Limit) switch
    {
        null => 0,
        0 => throw new UsageException("--limit must be at least 1."),
        { } limit => limit,
    };

    /// <summary>An end of the range; null: not given.</summary>
    /// <param name="parse">The command line.</param>
    /// <param name="number">The option for a version or position.</param>
    /// <param name="time">The option for a time.</param>
    public ReadBound? BoundOf(ParseResult parse, Option<ulong?> number, Option<string?> time) =>
        BoundOf(parse, number, time, parse.GetValue(All) ? ReadBound.Position : ReadBound.Version);

    /// <summary>An end of a range; null: not given.</summary>
    /// <param name="parse">The command line.</param>
    /// <param name="number">The option for a version or position.</param>
    /// <param name="time">The option for a time.</param>
    /// <param name="ofNumber">Which of the two the number is.</param>
    public static ReadBound? BoundOf(ParseResult parse, Option<ulong?> number, Option<string?> time, Func<ulong, ReadBound> ofNumber)
    {
        var n = parse.GetValue(number);
        if (parse.GetValue(time) is { } text)
        {
            return n is not null
                ? throw new UsageException($"Give {number.Name} or {time.Name}, not both.")
                : JsonText.TryParseTime(text, out var t) ? ReadBound.Time(t) : throw AppendCommand.BadTime(time.Name, text);
        }

        return n is { } value ? ofNumber(value) : null;
    }
}
