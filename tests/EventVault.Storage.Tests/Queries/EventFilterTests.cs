using System.Text;
using EventVault.Storage.Queries;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Queries;

public sealed class EventFilterTests
{
    // Each way is looked up in every segment, also by the sequencer.
    [Fact]
    public void Ways_that_are_equal_whatever_the_order_of_their_tags_are_looked_up_once()
    {
        using var storage = new SmallVault().Storage;
        Assert.Equal(1, Ways(Item("t", "x,y"), Item("t", "y,x"), Item("t", "x,y,x")));
        Assert.Equal(2, Ways(Item("t,u,t", "x"), Item("u", "x")));
        Assert.Equal(3, Ways(Item("t", ""), Item("", "x"), Item("t", "x"), Item("t", "")));
        Assert.Equal(1, Ways(Item("", "x,y"), Item("", "y,x")));

        int Ways(params QueryItem[] items) => EventFilter.Create(storage, Bytes("c"), default, items, default, null).Ways.Length;
    }

    private static QueryItem Item(string types, string tags) => new(Terms(types), Terms(tags));

    private static ReadOnlyMemory<byte>[] Terms(string terms) => [.. terms.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(Bytes)];

    private static ReadOnlyMemory<byte> Bytes(string text) => Encoding.UTF8.GetBytes(text);
}
