using System.CommandLine;
using System.Globalization;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary>How the state is made: slots, a named reducer, or nothing, which is merge_patch.</summary>
internal sealed class ReducerOptions
{
    private readonly Option<string?> _slots = new("--slots") { Description = "Named values over the events, such as \"lines = SUM(data.delta), n = COUNT(*)\". Without it the events' data are merged (merge_patch).", HelpName = "text" };
    private readonly Option<string?> _reducer = new("--reducer") { Description = "One that was defined, its newest version or another one.", HelpName = "NAME[@VERSION]" };
    private readonly Option<bool> _allowPartial = new("--allow-partial") { Description = "If events are gone that went into the state, show the state of what is left." };

    public void AddTo(Command command)
    {
        command.Options.Add(_slots);
        command.Options.Add(_reducer);
        command.Options.Add(_allowPartial);
    }

    /// <summary>Whether what is left will do.</summary>
    /// <param name="parse">The command line.</param>
    public bool AllowPartial(ParseResult parse) => parse.GetValue(_allowPartial);

    /// <summary>The reducer; null: merge_patch.</summary>
    /// <param name="parse">The command line.</param>
    /// <exception cref="UsageException">There are two, or the name is not well formed.</exception>
    public Reducer? Of(ParseResult parse) => (parse.GetValue(_slots), parse.GetValue(_reducer)) switch
    {
        (null, null) => null,
        ({ } slots, null) => Reducer.Slots(slots),
        (null, { } name) => Named(name, _reducer.Name) is var (text, version) ? Reducer.Named(text, version) : null,
        _ => throw new UsageException($"Give {_slots.Name} or {_reducer.Name}, not both."),
    };

    /// <summary>Reads <c>NAME[@VERSION]</c>.</summary>
    /// <param name="text">The text.</param>
    /// <param name="option">Name of the option or argument that it was given with.</param>
    /// <returns>Name and version; 0: the newest.</returns>
    /// <exception cref="UsageException">It is empty, or its version no number from 1 on.</exception>
    public static (string Name, uint Version) Named(string text, string option)
    {
        var at = text.LastIndexOf('@');
        var (name, version) = at < 0 ? (text, 0u) : (text[..at], uint.TryParse(text[(at + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var v) ? v : 0);
        return name.Length > 0 && (at < 0 || version > 0) ? (name, version) : throw new UsageException($"{option} '{text}' is not NAME or NAME@VERSION, such as lines@2.");
    }
}
