// What requests say about reducers, checked: names, definitions, references.
using System.Buffers;
using System.Text;
using EventVault.Node.States;
using EventVault.Protocol;
using EventVault.Temporal.Expressions;
using EventVault.Temporal.Reducers;

namespace EventVault.Node.Services;

/// <summary>Reads reducers out of requests.</summary>
internal static class ReducerRequests
{
    private const string NameRule = "must begin with a letter from a to z and have nothing but those, digits, -, _ and .";

    private static readonly SearchValues<char> NameCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789-_.");

    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT: it is no name.</exception>
    public static string CheckName(string name, string field, NodeLimits limits)
    {
        var most = limits[NodeLimits.ReducerNameBytes];
        if (name.Length > most.Allowed)
        {
            throw Errors.LimitExceeded(most, Encoding.UTF8.GetByteCount(name), field).ToException();
        }

        return name is [>= 'a' and <= 'z', ..] && !name.AsSpan().ContainsAnyExcept(NameCharacters)
            ? name
            : throw Errors.InvalidRequest(field, NameRule).ToException();
    }

    /// <summary>What is to be defined.</summary>
    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT.</exception>
    public static AskedReducer ReadAsked(DefineReducerRequest request, NodeLimits limits)
    {
        var name = CheckName(request.Name, "name", limits);
        if (request.Definition is null)
        {
            throw Errors.InvalidRequest("definition", "is missing: say how events become a state").ToException();
        }

        var reducer = ReadDefinition(request.Definition, "definition", limits);
        var most = limits[NodeLimits.ReducerCategories];
        if (request.Categories.Count > most.Allowed)
        {
            throw Errors.LimitExceeded(most, request.Categories.Count, "categories").ToException();
        }

        var categories = new SortedSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < request.Categories.Count; i++)
        {
            var field = FormattableString.Invariant($"categories[{i}]");
            var category = StreamNames.CheckLength(request.Categories[i], field, limits);
            if (Storage.Log.StreamName.Problem(category) is { } why)
            {
                throw Errors.InvalidName(field, null, why).ToException();
            }

            EventFilters.CheckCategory(category, field);
            if (category is [(byte)'$', ..])
            {
                throw Errors.ReservedName(field, request.Categories[i]).ToException();
            }

            if (!categories.Add(request.Categories[i]))
            {
                throw Errors.InvalidRequest(field, "stands twice").ToException();
            }
        }

        var slots = request.Definition.KindCase == ReducerDefinition.KindOneofCase.Slots ? request.Definition.Slots : null;
        return new AskedReducer(name, reducer, slots, [.. categories], request.Eager);
    }

    /// <summary>Checks what a reference says by itself, and reads the definition that it brings; a named one is looked up by <see cref="Find"/>.</summary>
    /// <returns>The reducer; null: it is a named one.</returns>
    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT.</exception>
    public static Reducer? ReadReference(ReducerReference? reference, NodeLimits limits)
    {
        if (reference is { Version: not 0, ReducerCase: not ReducerReference.ReducerOneofCase.Name })
        {
            throw Errors.InvalidRequest("reducer.version", "belongs to a named reducer: set its name, or leave it out").ToException();
        }

        switch (reference?.ReducerCase)
        {
            case ReducerReference.ReducerOneofCase.Name:
                CheckName(reference.Name, "reducer.name", limits);
                return null;
            case ReducerReference.ReducerOneofCase.Inline:
                return ReadDefinition(reference.Inline, "reducer.inline", limits);
            default:
                return MergePatchReducer.Instance;
        }
    }

    /// <summary>The reducer that a reference names.</summary>
    /// <exception cref="Rpc.RpcException">NOT_FOUND: there is none. INVALID_ARGUMENT: this node can't read it.</exception>
    public static DefinedReducer Find(ReducerRegistry registry, string name, uint version, string field) =>
        registry.Find(name, version) ?? throw Errors.ReducerNotFound(field, name, version).ToException();

    /// <summary>What a named reducer says.</summary>
    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT: this node can't read it.</exception>
    public static Reducer Readable(DefinedReducer defined, string field) => defined.Reducer ?? throw Unreadable(defined, field).ToException();

    /// <summary>What a definition of a later version of EventVault is answered with.</summary>
    public static Refusal Unreadable(DefinedReducer defined, string field) => Errors.BadReducer(
        field, FormattableString.Invariant($"version {defined.Version} of {defined.Name} was defined by a later version of EventVault, which this node can't read. Use a node of that version, or define it anew."), null);

    private static Reducer ReadDefinition(ReducerDefinition definition, string field, NodeLimits limits)
    {
        switch (definition.KindCase)
        {
            case ReducerDefinition.KindOneofCase.MergePatch:
                return MergePatchReducer.Instance;
            case ReducerDefinition.KindOneofCase.Slots:
                var (most, bytes) = (limits[NodeLimits.ReducerBytes], Encoding.UTF8.GetByteCount(definition.Slots));
                if (bytes > most.Allowed)
                {
                    throw Errors.LimitExceeded(most, bytes, field + ".slots").ToException();
                }

                try
                {
                    return SlotsReducer.Parse(definition.Slots);
                }
                catch (ExpressionException e)
                {
                    throw Errors.BadReducer(field + ".slots", e.Message, e.Offset).ToException(e);
                }

            default:
                throw Errors.InvalidRequest(field, "says nothing: one of merge_patch and slots must be set").ToException();
        }
    }
}
