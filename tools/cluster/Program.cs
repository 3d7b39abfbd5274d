return await EventVault.LocalCluster.ClusterRun.RunAsync(args);
