using EventVault.Storage.Index;

namespace EventVault.Storage.Tests.Index;

public sealed class KeyTableFloodTests
{
    [Theory]
    [InlineData(64)]
    [InlineData(40)]
    [InlineData(0)]
    public async Task Keys_that_agree_in_most_of_their_bits_cost_no_more_than_others(int shift)
    {
        // Were they all to share a slot, this would take 10¹² steps.
        const int Keys = 1_000_000;
        await Task.Run(() =>
        {
            var table = new KeyTable();
            for (var i = 0; i < Keys; i++)
            {
                var key = (UInt128)(uint)i << shift;
                Assert.Equal(-1, table.Find(key));
                Assert.Equal(i, table.Add(key));
                Assert.Equal(i, table.Find(key));
            }
        }).WaitAsync(TimeSpan.FromSeconds(60));
    }
}
