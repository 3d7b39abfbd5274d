using System.CommandLine;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary>As of which moment: one of several options.</summary>
internal sealed class CutOptions
{
    private readonly Option<ulong?> _version = new("--at-version") { Description = "After this event of the stream.", HelpName = "N" };
    private readonly Option<ulong?> _position = new("--at-position") { Description = "After this event of the vault.", HelpName = "N" };
    private readonly Option<string?> _time = new("--at-time") { Description = "After all that was recorded at or before this time, as RFC 3339 with Z or an offset.", HelpName = "time" };
    private readonly Option<string?> _beforeTime = new("--before-time") { Description = "After all that was recorded before this time.", HelpName = "time" };
    private readonly Option<string?> _token = new("--token") { Description = "The moment of an earlier answer, by its token.", HelpName = "token" };
    private readonly Option<string?> _occurred = new("--occurred") { Description = "Of those events only what occurred at or before this time, in the order in which it occurred.", HelpName = "time" };
    private readonly Option<bool> _wait = new("--wait") { Description = "Wait for a moment that is not reached yet, up to a minute, instead of failing." };

    // As long as a person may want to look at a terminal that says nothing.
    private static readonly TimeSpan WaitAtMost = TimeSpan.FromMinutes(1);

    public void AddTo(Command command, bool ofOneStream)
    {
        if (ofOneStream)
        {
            command.Options.Add(_version);
        }

        command.Options.Add(_position);
        command.Options.Add(_time);
        command.Options.Add(_beforeTime);
        command.Options.Add(_token);
        command.Options.Add(_occurred);
        command.Options.Add(_wait);
    }

    /// <summary>The moment.</summary>
    /// <param name="parse">The command line.</param>
    /// <exception cref="UsageException">There are two, or one is not well formed.</exception>
    public AsOf Of(ParseResult parse)
    {
        var cuts = new List<AsOf>();
        var names = new List<string>();
        Add(_version, parse.GetValue(_version) is { } version ? AsOf.Version(version) : null);
        Add(_position, parse.GetValue(_position) is { } position ? AsOf.Position(position) : null);
        Add(_time, TimeOf(parse, _time) is { } time ? AsOf.Time(time) : null);
        Add(_beforeTime, TimeOf(parse, _beforeTime) is { } before ? AsOf.BeforeTime(before) : null);
        Add(_token, parse.GetValue(_token) is { } token ? TokenOf(token) : null);
        if (cuts.Count > 1)
        {
            throw new UsageException($"Give one moment, not {string.Join(" and ", names)}.");
        }

        var asOf = cuts.Count == 0 ? AsOf.Latest : cuts[0];
        if (TimeOf(parse, _occurred) is { } occurred)
        {
            asOf = asOf.WithOccurred(occurred);
        }

        return parse.GetValue(_wait) ? asOf.OrWait(WaitAtMost) : asOf;

        void Add(Option option, AsOf? cut)
        {
            if (cut is { } given)
            {
                cuts.Add(given);
                names.Add(option.Name);
            }
        }
    }

    private static DateTimeOffset? TimeOf(ParseResult parse, Option<string?> option) => parse.GetValue(option) switch
    {
        null => null,
        var text => JsonText.TryParseTime(text, out var time) ? time : throw AppendCommand.BadTime(option.Name, text),
    };

    private AsOf TokenOf(string text)
    {
        try
        {
            return AsOf.Token(text);
        }
        catch (ArgumentException)
        {
            throw new UsageException($"{_token.Name} '{text}' is no token. Take it from an answer of --json.");
        }
    }
}
