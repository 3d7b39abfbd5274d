// The C# of docs/TEMPORAL.md: what stands between "tour:" and "end" is shown there, word by word. The rest holds it together.
using System.Text.Json;
using EventVault.Client;

namespace EventVault.Admin.Tests;

// tour: cart
public sealed record Cart(decimal Total, int Changes) : IFolded<Cart>
{
    public static Fold<Cart> Fold { get; } = new("cart", version: 1, () => new Cart(0, 0), Apply);

    private static Cart Apply(Cart cart, RecordedEvent e)
    {
        using var data = JsonDocument.Parse(e.Data);
        return e.Type switch
        {
            "ItemAdded" => new Cart(cart.Total + data.RootElement.GetProperty("price").GetDecimal(), cart.Changes + 1),
            "ItemRemoved" => new Cart(cart.Total - data.RootElement.GetProperty("price").GetDecimal(), cart.Changes + 1),
            _ => cart,
        };
    }
}

// end

/// <summary>Runs what the tour shows.</summary>
internal static class TemporalTour
{
    public static async Task ReadAsync(VaultClient vault, TextWriter console)
    {
        // tour: read
        await vault.AppendAsync("order-1", ExpectedVersion.NoStream, EventData.Json("OrderPlaced", new { customer = "ada", paid = false }));
        await vault.AppendAsync("order-1", ExpectedVersion.Exact(0), EventData.Json("OrderPaid", new { paid = true, by = "card" }));

        StreamState now = await vault.States.GetAsync("order-1");
        StreamState before = await vault.States.GetAsync("order-1", AsOf.Version(0));
        StreamState again = await vault.States.GetAsync("order-1", AsOf.Token(before.Token!)); // the same for ever
        Dictionary<string, JsonElement> order = now.As<Dictionary<string, JsonElement>>()!;

        StreamState none = await vault.States.GetAsync("order-1", AsOf.BeforeTime(now.Cut.RecordedAt!.Value.AddDays(-1)));
        StreamState types = await vault.States.GetAsync("order-1", AsOf.Latest, Reducer.Slots("types = SET_ADD($type)"));
        // end

        Assert.Equal((1ul, 0ul), (now.Version, before.Version));
        Assert.Equal("""{"customer":"ada","paid":false}"""u8, before.Json.Span);
        Assert.Equal((before.StateHash, before.Version), (again.StateHash, again.Version));
        Assert.Equal("card", order["by"].GetString());
        Assert.False(none.Exists);
        Assert.Equal("""{"types":["OrderPaid","OrderPlaced"]}"""u8, types.Json.Span);
        await console.WriteLineAsync("read");
    }

    public static async Task FoldAsync(VaultClient vault, TextWriter console)
    {
        await vault.AppendAsync("cart-1", ExpectedVersion.NoStream, EventData.JsonText("ItemAdded", """{"price":9.80}"""));
        var first = await vault.AppendAsync("cart-1", ExpectedVersion.Any, EventData.JsonText("ItemAdded", """{"price":29.70}"""));
        await vault.AppendAsync("cart-1", ExpectedVersion.Any, EventData.JsonText("ItemRemoved", """{"price":9.80}"""));
        DateTimeOffset noon = first.RecordedAt;

        // tour: folds
        FoldedState<Cart> cart = await vault.StateAsOfAsync<Cart>("cart-1", AsOf.Time(noon));
        await console.WriteLineAsync($"{cart.State.Total} after version {cart.Version}, {cart.EventsFolded} events read");

        // For a type that can't be changed, the fold stands by itself.
        var count = new Fold<int>("count", version: 1, () => 0, (n, e) => n + 1);
        FoldedState<int> events = await vault.States.FoldAsync(count, "cart-1");
        // end

        Assert.Equal((39.5m, 1ul, 2ul), (cart.State.Total, cart.Version, cart.EventsFolded));
        Assert.Equal(3, events.State);

        // tour: steps
        await foreach (FoldStep<Cart> step in vault.States.StepAsync(Cart.Fold, "cart-1", from: 1))
        {
            await console.WriteLineAsync($"{step.Event.Version} {step.Event.Type}: {step.State.Total}");
        }

        // end
    }

    public static async Task ManyAsync(VaultClient vault, TextWriter console)
    {
        // tour: many
        await foreach (StateResult result in vault.States.OfCategoryAsync("order", AsOf.Latest))
        {
            await console.WriteLineAsync($"{result.Stream}: {result.Value.As<JsonElement>()}");
        }

        var options = new StateHistoryOptions { From = AsOf.Version(0), Step = HistoryStep.Events(2) };
        await foreach (StateStep step in vault.States.HistoryAsync("cart-1", options, Reducer.Slots("sum = SUM(price)")))
        {
            await console.WriteLineAsync($"{step.State.Version}: {step.State.As<JsonElement>()}");
        }

        await vault.Reducers.DefineAsync("prices", Reducer.Slots("most = MAX(price)"), new DefineReducerOptions { Categories = ["cart"] });
        await vault.TruncateStreamAsync("cart-1", before: 2, ExpectedVersion.Any);
        StreamState still = await vault.States.GetAsync("cart-1", AsOf.Latest, Reducer.Named("prices")); // from its anchor
        // end

        Assert.Equal("""{"most":29.7}"""u8, still.Json.Span);
        await console.WriteLineAsync("many");
    }

    public static async Task FailAsync(VaultClient vault, TextWriter console)
    {
        // tour: errors
        try
        {
            await vault.States.GetAsync("cart-1", AsOf.Version(0), Reducer.Named("prices"));
        }
        catch (HistoryTruncatedException e)
        {
            await console.WriteLineAsync($"Nothing is left of before version {e.Earliest?.Version}.");
        }

        try
        {
            await vault.States.GetAsync("order-1", AsOf.Version(9));
        }
        catch (VersionNotReachedException e)
        {
            await console.WriteLineAsync($"It has got to version {e.LastVersion}.");
        }

        // end
    }
}
