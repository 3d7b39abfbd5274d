namespace EventVault.Client;

/// <summary>How the vault makes a state of events. Immutable. docs/TEMPORAL.md has the language of slots.</summary>
public sealed record Reducer
{
    private Reducer()
    {
    }

    /// <summary>
    /// The state of any stream of JSON: the data of each event is merged into it as RFC 7396 says. Members are set, null removes
    /// them, objects are merged, all else is replaced. Used where no reducer is named.
    /// </summary>
    public static Reducer MergePatch { get; } = new();

    /// <summary>The text of <see cref="Slots"/>; null for the others.</summary>
    public string? SlotsText { get; private init; }

    /// <summary>The name of one that was defined; null for the others.</summary>
    public string? Name { get; private init; }

    /// <summary>Which version of the named one; 0: the newest.</summary>
    public uint Version { get; private init; }

    /// <summary>Named values, each an aggregate over events, such as <c>lines = SUM(data.delta), changes = COUNT(*)</c>.</summary>
    /// <param name="text">The slots, at most 16 KiB. What breaks the rules the node refuses: <see cref="BadReducerException"/>.</param>
    public static Reducer Slots(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return new Reducer { SlotsText = text };
    }

    /// <summary>One that <see cref="VaultReducers.DefineAsync"/> named.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="version">Its version; 0: the newest one there is when the state is asked for.</param>
    public static Reducer Named(string name, uint version = 0)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        return new Reducer { Name = name, Version = version };
    }

    /// <summary>The reducer in words.</summary>
    public override string ToString() => Name is null ? SlotsText ?? "merge_patch" : Version == 0 ? Name : $"{Name}@{Version}";

    internal static Reducer From(Protocol.ReducerDefinition? definition) => definition?.KindCase switch
    {
        Protocol.ReducerDefinition.KindOneofCase.MergePatch => MergePatch,
        Protocol.ReducerDefinition.KindOneofCase.Slots => Slots(definition.Slots),
        _ => throw VaultErrors.ProtocolViolation("a named reducer came without a definition that this client knows"),
    };

    internal Protocol.ReducerReference ToMessage() => Name is null
        ? new Protocol.ReducerReference { Inline = ToDefinition() }
        : new Protocol.ReducerReference { Name = Name, Version = Version };

    /// <exception cref="ArgumentException">It only names another one.</exception>
    internal Protocol.ReducerDefinition ToDefinition() => Name is not null
        ? throw new ArgumentException($"A reducer is defined by slots or as merge_patch, not by the name of another one, {Name}.")
        : SlotsText is null
            ? new Protocol.ReducerDefinition { MergePatch = new Protocol.Empty() }
            : new Protocol.ReducerDefinition { Slots = SlotsText };
}
