using System.CommandLine;
using System.Globalization;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary>Which events of the whole vault are wanted: the same options for <c>read</c>, <c>tail</c> and <c>count</c>.</summary>
internal sealed class FilterOptions
{
    private readonly Option<string?> _category = new("--category") { Description = "Events of the streams of this category: what stands before the first - of the name." };
    private readonly Option<string?> _prefix = new("--prefix") { Description = "Events of the streams whose names begin so." };
    private readonly Option<string[]> _types = new("--type") { Description = "Events of this type; given several times, of any of them." };
    private readonly Option<string[]> _tags = new("--tag") { Description = "Events with this tag; given several times, with all of them." };
    private readonly Option<string?> _correlationId = new("--correlation-id") { Description = "Events whose metadata have this correlationId.", HelpName = "id" };
    private readonly Option<Guid?> _eventId = new("--event-id") { Description = "The event with this id; several may have it.", HelpName = "uuid" };

    public void AddTo(Command command)
    {
        command.Options.Add(_category);
        command.Options.Add(_prefix);
        command.Options.Add(_types);
        command.Options.Add(_tags);
        command.Options.Add(_correlationId);
        command.Options.Add(_eventId);
    }

    /// <summary>The filter; null: none was given.</summary>
    /// <param name="parse">The command line.</param>
    /// <exception cref="UsageException">A text is empty: that would match everything, which can't be meant.</exception>
    public EventFilter? Of(ParseResult parse)
    {
        string[] types = parse.GetValue(_types) ?? [];
        string[] tags = parse.GetValue(_tags) ?? [];
        var filter = new EventFilter
        {
            Category = NotEmpty(parse, _category),
            StreamPrefix = NotEmpty(parse, _prefix),
            Query = QueryOf(types, tags, _types.Name, _tags.Name),
            CorrelationId = NotEmpty(parse, _correlationId),
            EventId = parse.GetValue(_eventId),
        };
        return filter == new EventFilter() ? null : filter;
    }

    /// <summary>A query of one item; null: neither types nor tags were given.</summary>
    /// <param name="types">The types, any of them.</param>
    /// <param name="tags">The tags, all of them.</param>
    /// <param name="typeOption">Name of the option that gave the types.</param>
    /// <param name="tagOption">Name of the option that gave the tags.</param>
    /// <exception cref="UsageException">A text is empty.</exception>
    public static EventQuery? QueryOf(string[] types, string[] tags, string typeOption, string tagOption)
    {
        if (types.Contains("") || tags.Contains(""))
        {
            throw new UsageException($"{(types.Contains("") ? typeOption : tagOption)} is empty. Give a text, or leave the option out.");
        }

        return types.Length + tags.Length == 0 ? null : new EventQuery(new QueryItem { Types = types, Tags = tags });
    }

    private static string? NotEmpty(ParseResult parse, Option<string?> option) => parse.GetValue(option) is not "" and var text
        ? text
        : throw new UsageException($"{option.Name} is empty. Give a text, or leave the option out.");
}

/// <summary>What a read must have seen.</summary>
internal sealed class ConsistencyOption
{
    private readonly Option<string> _level = new("--consistency")
    {
        Description = "What the answer must have seen: linearizable (all that was acknowledged before), local (whatever the node has), or a position.",
        HelpName = "linearizable|local|POSITION",
        DefaultValueFactory = _ => "linearizable",
    };

    public void AddTo(Command command) => command.Options.Add(_level);

    /// <summary>The level that was asked for.</summary>
    /// <param name="parse">The command line.</param>
    /// <exception cref="UsageException">It is none of the three.</exception>
    public Consistency Of(ParseResult parse) => parse.GetValue(_level) switch
    {
        "linearizable" => Consistency.Linearizable,
        "local" => Consistency.Local,
        var text => ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var position)
            ? Consistency.AtLeast(position)
            : throw new UsageException($"{_level.Name} '{text}' is none of: linearizable, local, or a position such as 17."),
    };
}
