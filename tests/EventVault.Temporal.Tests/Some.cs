using System.Buffers;
using System.Text;
using EventVault.Temporal.Json;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal.Tests;

/// <summary>An event to fold, with spans only when it is needed.</summary>
internal sealed record SomeEvent(string Data, string Type = "T", long Version = 0, string Stream = "order-17", bool IsJson = true)
{
    public const long Time = 17_723_556_000_000_000; // 2026-03-01T09:00:00Z

    public void ApplyTo(FoldState state) => state.Apply(AsEvent());

    public FoldEvent AsEvent() => new()
    {
        Stream = Encoding.UTF8.GetBytes(Stream),
        Type = Encoding.UTF8.GetBytes(Type),
        Data = Encoding.UTF8.GetBytes(Data),
        IsJson = IsJson,
        Version = Version,
        Position = 100 + Version,
        RecordedAt = Time,
        OccurredAt = Time - 10_000_000,
    };
}

internal static class Some
{
    public static string Json(this FoldState state)
    {
        var to = new ArrayBufferWriter<byte>();
        state.WriteJson(to);
        return Encoding.UTF8.GetString(to.WrittenSpan);
    }

    public static byte[] Saved(this FoldState state)
    {
        var to = new ArrayBufferWriter<byte>();
        state.Save(to);
        return to.WrittenSpan.ToArray();
    }

    public static FoldState Fold(Reducer reducer, params IEnumerable<SomeEvent> events)
    {
        var state = reducer.Start(FoldLimits.Default);
        foreach (var e in events)
        {
            e.ApplyTo(state);
        }

        return state;
    }

    /// <summary>What an expression gives for an event, as JSON.</summary>
    public static string Evaluate(string expression, SomeEvent e)
    {
        var state = Fold(SlotsReducer.Parse($"x = LAST({expression})"), e);
        return state.Json()[5..^1];
    }

    public static string Canonical(string json)
    {
        var bytes = Encoding.UTF8.GetBytes(json);
        Assert.True(JsonText.IsValid(bytes), json);
        var reader = JsonText.Read(bytes);
        reader.Read();
        var to = new ArrayBufferWriter<byte>();
        JsonText.WriteCanonical(ref reader, to);
        return Encoding.UTF8.GetString(to.WrittenSpan);
    }
}
