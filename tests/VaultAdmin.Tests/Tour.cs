// The C# of docs/TOUR.md: what stands between "tour:" and "end" is shown there, word by word. The rest holds it together.
using System.Text.Json;
using EventVault.Client;

namespace EventVault.Admin.Tests;

// tour: model
public sealed class Turnover
{
    public Dictionary<string, decimal> ByCustomer { get; init; } = [];

    public ulong? Position { get; set; }

    public static Turnover Load(string file) => File.Exists(file) ? JsonSerializer.Deserialize<Turnover>(File.ReadAllText(file))! : new Turnover();

    public void Apply(RecordedEvent e)
    {
        if (e.Type == "OrderPlaced")
        {
            using var order = JsonDocument.Parse(e.Data);
            var customer = order.RootElement.GetProperty("customer").GetString()!;
            ByCustomer[customer] = ByCustomer.GetValueOrDefault(customer) + order.RootElement.GetProperty("total").GetDecimal();
        }
    }

    public void Save(string file)
    {
        File.WriteAllText(file + ".new", JsonSerializer.Serialize(this));
        File.Move(file + ".new", file, overwrite: true);
    }
}

// end

/// <summary>Runs what the tour shows.</summary>
internal static class Tour
{
    public static async Task BookAsync(VaultClient vault)
    {
        // tour: conditions
        EventQuery seats = EventQuery.OfTypes("SeatBooked").WithTags("train:IC1");
        await using ReadResult booked = vault.ReadAllAsync(new ReadOptions { Filter = EventFilter.Of(seats) });
        ReadHead head = await booked.GetHeadAsync();
        int taken = await booked.CountAsync();

        if (taken < 2)
        {
            var seat = EventData.Json("SeatBooked", new { seat = taken + 1 });
            await vault.AppendAsync(
                [
                    new StreamAppend("train-IC1", ExpectedVersion.Any, [new EventData(seat.Type, seat.Data) { Tags = ["train:IC1"] }]),
                    new StreamAppend("invoice-7", ExpectedVersion.NoStream, [EventData.Json("Invoiced", new { amount = 120 })]),
                ],
                new AppendOptions { Conditions = [AppendCondition.FailIfMatch(seats, head.LastPosition)] });
        }

        // end
    }

    public static async Task<Turnover> FollowAsync(VaultClient vault, string file, CancellationToken stop)
    {
        // tour: subscription
        var turnover = Turnover.Load(file);
        var options = new SubscribeOptions { From = ReadBound.Position(turnover.Position + 1 ?? 0), Filter = EventFilter.OfCategory("order") };
        await using Subscription orders = vault.SubscribeToAllAsync(options);
        await foreach (SubscriptionMessage message in orders.WithCancellation(stop))
        {
            if (message.Event is { } e)
            {
                turnover.Apply(e);
            }

            turnover.Position = message.Position ?? turnover.Position;
            turnover.Save(file);
            if (message.Kind == SubscriptionMessageKind.CaughtUp)
            {
                break; // The tour goes on; a service stays.
            }
        }

        // end
        return turnover;
    }
}
