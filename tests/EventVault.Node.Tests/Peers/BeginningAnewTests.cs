using EventVault.Node.Peers;
using EventVault.Raft;
using EventVault.Storage;

namespace EventVault.Node.Tests.Peers;

public sealed class BeginningAnewTests
{
    [Fact]
    public void A_disk_names_what_it_was_last_and_no_more_than_a_leader_takes()
    {
        var was = Enumerable.Range(0, 40).Select(_ => Guid.NewGuid()).ToList();
        var members = was.SelectMany(incarnation => new[] { new ReplicaId(1, Guid.NewGuid()), new ReplicaId(2, incarnation), new ReplicaId(2, was[0]) });
        var now = Guid.NewGuid();
        var named = BeginningAnew.Was(members, new DamagedEnd(Guid.NewGuid(), NodeId: 2, now, [], "damage")).ToList();
        Assert.Equal(Readmission.MostBefore, named.Count);
        Assert.Equal([now, was[0], .. was.AsEnumerable().Reverse().Take(Readmission.MostBefore - 2)], named);
    }
}
